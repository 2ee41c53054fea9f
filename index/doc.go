// Package index keeps a drive's names, inodes, extents, segments and jobs in
// SQLite, and carries its changes to the network in trailers.
//
// # Live and published
//
// The live tree is what programs see. The published tree is what a restore of
// the newest trailer would give: of each regular file the newest version that
// was packed whole, with the names that lead to it. Both are in the same
// tables. A name that a file gets is published once the content is that the file
// had then, or newer content. Until then the file stays published under the name
// that it had before, and what the new name displaced under that.
//
// Segments are numbered from 1. A generation is the rows of one trailer, and its
// number that of the first segment that carries the trailer. Each row of the
// tree carries the generation that its last change goes into, which is the one
// that is open. CutTrailer reads the rows above the last committed generation
// and opens the next one in one transaction, so that changes made while the
// segment is sealed are told apart. CommitSegments then publishes exactly what
// the trailer says. A cut that is never committed is read again by the next.
//
// The anchor on the ledger names a generation once all segments up to its last
// one are certified. Published content that was superseded is kept until the
// anchor has moved past it (Finish).
//
// # Trash and adopted content
//
// A stored file that loses its last name leaves a row in the trash, which refers
// to its extents. A file can be made of such extents: its content is adopted.
// It is read like published content, but stands in no committed trailer yet.
// Each cut takes the whole of it, until one is committed.
//
// # Pins
//
// SetPin says that what is at or below an inode is to be kept on this machine.
// Whoever evicts local copies asks Pinned first; PinnedAbsent tells what has to
// be fetched.
//
// # Durability
//
// Every method is one transaction, or shares one. Ordinary ones commit with synchronous=NORMAL:
// they survive the death of the process. Changes of names and attributes do so before
// they are committed, since they are noted (see answer.go); the build tag noahead takes that away. Barriers, shared by
// all callers that come while an earlier one runs, sync the log behind their commit, while others go on; other
// transactions of which something else depends commit with FULL. Both survive a power cut
// together with everything before them. The build tag nofsync takes that away.
//
// # Collection
//
// Segments that nothing needs are condemned, later deleted on the ledger, and
// then forgotten (Condemn, BeginDeletion, Deleted). Triggers keep everything from
// referring to one whose deletion is written down (ErrCollected).
//
// # Segment plaintext
//
// A segment's plaintext is extent bytes, a part of a trailer, and a footer:
//
//	offset  size
//	0       4     "WFST"
//	4       1     version, 1
//	5       3     zero
//	8       8     number of the segment
//	16      8     generation
//	24      2     number of the part, from 0
//	26      2     number of parts
//	28      4     length of this part
//	32      4     CRC32C of the whole encoded trailer
//	36      4     length of the whole encoded trailer
//	40      16    drive
//	56      8     start of the writer's ID
//
// Fixed numbers are little-endian. The parts in the order of their segments are
// the encoded trailer: a zstd frame of the rows, at most 256 MiB, whose content
// may be 16 times as long and 1 MiB more. Where it would be longer, a skippable
// frame of zeros follows.
//
// # Rows
//
// u is an unsigned varint (7 bits a byte, low first, shortest form) of at most
// 2^63-1, s a zigzag varint, b a u and that many bytes. Lists are sorted by key;
// d is a key as a u: the difference to the row before, from 0.
//
//	0    4   "WTRL"
//	4    1   version, 1; 2 and 3 have a u more behind it, see Trailer.Full and Trailer.Moved
//	5    16  drive
//	21       u generation, u the generation before (0: none), s time in ns, u next inode number
//	         u count, segments: d number, 32 bytes blob ID, 32 bytes object ID, u sealed size, u end epoch
//	         u count, inodes:   d ino, u mode, u uid, u gid, u rdev, u version, u size, s mtime,
//	                            s atime-mtime, s ctime-mtime, s btime-mtime, b target,
//	                            u count, attributes by name: b name, b value
//	         u count, contents: d ino, u version, u size, s mtime, u base,
//	                            u count, ops: u offset, u length, u segment (0: hole), u position
//	         u count, names:    d parent, b name, u ino (0: removed)
//
// Segments are those certified since the trailer before. Inodes are whole rows:
// the last one wins. A content row changes the published content of a file:
// what is at base or behind goes, the ops are laid over the rest in order, size
// cuts it. In version 3 it may have the version that is published already: then
// its ops only tell where ranges lie now. Times are Unix time. Replay lays the trailers over an empty drive in
// ascending order, then drops what no name reaches and counts links.
//
// # Anchor
//
// The anchor object has three attributes: walfs.drive (32 hex digits),
// walfs.anchor, and walfs.signature, the drive's ed25519 signature over the
// text of walfs.anchor in unpadded base64url. The text has these lines, each
// ending in a newline, numbers in decimal, blob IDs in base64url:
//
//	walfs anchor 1
//	drive <32 hex digits>
//	writer <32 hex digits>
//	generation <number>
//	head <blob ID of the segment with that number>
//	segment <number> <blob ID>      up to 64: the window, ascending
//	snapshot <generation> <blob ID> if there is one
//	time <Unix time in ns>
package index
