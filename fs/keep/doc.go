// Package keep is what a drive does by itself besides committing: it restores
// an index from the network, makes a damaged one anew, copies it daily, keeps
// local copies within their budget and what is stored paid for, and scrubs nodes.
//
// A restore needs the wallet and the drive key. The anchor on the ledger names
// the newest generation and the segments that no trailer tells of yet. From
// there trailers are read downwards, since each tells the blob IDs of older
// segments only, and replayed upwards: the last row wins.
package keep
