package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain/localnet"
)

// The errors of Find and Adopt.
var (
	ErrNoFolders = errors.New("no node folders")
	ErrSeveral   = errors.New("folders of several networks")
	ErrTwice     = errors.New("two folders of one node")
	ErrForked    = errors.New("ledger logs went different ways")
	ErrTooFew    = errors.New("too few node folders")
)

// Survivor is a node folder that Find found.
type Survivor struct {
	Name string // of the node
	Dir  string
	Log  localnet.LogInfo
	Err  error // why its log cannot be used, if so
}

// Survivors is what is left of a network.
type Survivors struct {
	Here    []Survivor // by name
	Missing []string   // nodes without a folder
	Best    *Survivor  // whose log says most
	Older   []string   // logs of what was written to folders after another home had taken the network over

	facts facts // of the best one
}

// Find looks for node folders of one network: each of dirs is one, or holds some.
// It reads every log and changes nothing.
func Find(dirs []string) (*Survivors, error) {
	s := &Survivors{}
	for _, dir := range dirs {
		found, err := nodeFolders(dir)
		if err != nil {
			return nil, err
		}
		for _, folder := range found {
			if err := s.add(folder); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(s.Here, func(a, b Survivor) int { return compareNames(a.Name, b.Name) })
	if err := s.choose(); err != nil {
		return nil, err
	}
	for _, n := range s.facts.Nodes {
		if !slices.ContainsFunc(s.Here, func(v Survivor) bool { return v.Name == n.Name }) {
			s.Missing = append(s.Missing, n.Name)
		}
	}
	return s, nil
}

func compareNames(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// nodeFolders returns dir, or the folders in it, that are of nodes.
func nodeFolders(dir string) (folders []string, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if _, err := readFacts(dir); !absent(err) {
		return []string{dir}, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		folder := filepath.Join(dir, e.Name())
		if _, err := readFacts(folder); absent(err) {
			continue
		} else if err != nil {
			return nil, err
		}
		folders = append(folders, folder)
	}
	if len(folders) == 0 {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoFolders)
	}
	return folders, nil
}

// add looks at one folder.
func (s *Survivors) add(folder string) error {
	f, err := readFacts(folder)
	if err != nil {
		return err
	}
	if len(s.Here) > 0 && f.Seed != s.facts.Seed {
		return fmt.Errorf("%s and %s: %w", s.Here[0].Dir, folder, ErrSeveral)
	}
	for _, other := range s.Here {
		if same(other.Dir, folder) {
			return nil // named twice
		}
		if other.Name == f.Node {
			return fmt.Errorf("%s and %s: %w", other.Dir, folder, ErrTwice)
		}
	}
	if len(s.Here) == 0 {
		s.facts = f
	}
	v := Survivor{Name: f.Node, Dir: folder}
	v.Log, v.Err = localnet.InspectLog(filepath.Join(folder, localnet.LogFile))
	s.Here = append(s.Here, v)
	return nil
}

func same(a, b string) bool {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(x, y)
}

// choose picks the log that says most, and refuses to choose between two that
// both say something that the other does not.
func (s *Survivors) choose() (err error) {
	var errs []error
	for i := range s.Here {
		v := &s.Here[i]
		if v.Err != nil {
			errs = append(errs, v.Err)
		} else if s.Best == nil || v.Log.Longer(&s.Best.Log) {
			s.Best = v
		}
	}
	if s.Best == nil {
		return fmt.Errorf("no whole log of the ledger: %w", errors.Join(errs...))
	}
	for i := range s.Here {
		v := &s.Here[i]
		if v.Err != nil || v == s.Best {
			continue
		}
		apart := s.Best.Log.Fork(&v.Log)
		if v.Log.Era>>32 < s.Best.Log.Era>>32 {
			if apart > 1 {
				s.Older = append(s.Older, fmt.Sprintf("%s has %d transactions that were made there after another home had taken the drive over: they are left out", v.Dir, apart))
			}
			continue
		}
		if apart > 1 {
			return fmt.Errorf("%s and %s: %w", s.Best.Dir, v.Dir, ErrForked)
		}
	}
	s.facts, err = readFacts(s.Best.Dir)
	return err
}

// Shards returns of how many shards the folders are there, how many there are,
// and how many it takes to read.
func (s *Survivors) Shards() (here, all, need int) {
	all = s.facts.Shards
	return all * len(s.Here) / max(1, len(s.facts.Nodes)), all, walrus.Geometry{Shards: all}.SourcePrimary()
}

// NeedFolders returns of how many nodes the folders have to be there for reading.
func (s *Survivors) NeedFolders() int {
	_, all, need := s.Shards()
	nodes := max(1, len(s.facts.Nodes))
	return (need*nodes + all - 1) / all
}

// Nodes returns how many nodes the network has.
func (s *Survivors) Nodes() int { return len(s.facts.Nodes) }

// Kept returns the folders with copies of the drive's files, that of the best log first.
func (s *Survivors) Kept() []string {
	dirs := []string{filepath.Join(s.Best.Dir, keptFolder)}
	for _, v := range s.Here {
		if v.Dir != s.Best.Dir {
			dirs = append(dirs, filepath.Join(v.Dir, keptFolder))
		}
	}
	return dirs
}

// Adopt makes a network in dir, where there is none, of the folders that
// survive: they stay where they are, and the nodes that are missing get empty
// folders dealt to newDirs, or in dir, with the keys that the ledger knows. Open
// then rebuilds the ledger and takes the network over: a home that had it before refuses it.
//
// The folders must not be open elsewhere: then Adopt returns ErrLocked. When
// Adopt was interrupted it can be called again.
func (s *Survivors) Adopt(dir string, keys *seal.Keyring, newDirs []string) error {
	if here, all, need := s.Shards(); here < need {
		return fmt.Errorf("%d of %d shards, reading needs %d: %w", here, all, need, ErrTooFew)
	}
	lock, err := lock(dir)
	if err != nil {
		return fmt.Errorf("adopt: %w", err)
	}
	return errors.Join(s.adopt(dir, keys, newDirs), lock.Close())
}

func (s *Survivors) adopt(dir string, keys *seal.Keyring, newDirs []string) error {
	if p, err := readPlan(dir); err == nil {
		if p.Seed == s.facts.Seed {
			return nil // an earlier call came this far
		}
		return fmt.Errorf("adopt: %s is another network: %w", dir, ErrSettings)
	} else if !absent(err) {
		return fmt.Errorf("adopt: %w", err)
	}
	if err := s.unlocked(); err != nil {
		return fmt.Errorf("adopt: %w", err)
	}
	secrets, err := s.secrets(keys)
	if err != nil {
		return fmt.Errorf("adopt: keys of nodes: %w", err)
	}
	p := plan{Version: planVersion, Seed: s.facts.Seed, Shards: s.facts.Shards, Made: true, TakeOver: true}
	for i, n := range s.facts.Nodes {
		n.Stopped = false
		if at := slices.IndexFunc(s.Here, func(v Survivor) bool { return v.Name == n.Name }); at >= 0 {
			n.Dir = s.Here[at].Dir
		} else if n.Dir, err = s.newFolder(dir, n.Name, newDirs, i); err != nil {
			return fmt.Errorf("adopt: %w", err)
		}
		for _, to := range []string{filepath.Join(dir, "keys", n.Name), n.folder(dir)} {
			if err := putKeys(to, secrets[n.Name]); err != nil {
				return fmt.Errorf("adopt: keys of %s: %w", n.Name, err)
			}
		}
		p.Nodes = append(p.Nodes, n)
	}
	if err := p.save(dir); err != nil {
		return fmt.Errorf("adopt: %w", err)
	}
	return syncDir(filepath.Dir(dir))
}

// newFolder returns where a node that has lost its folder is to lie.
func (s *Survivors) newFolder(dir, name string, newDirs []string, i int) (string, error) {
	if len(newDirs) == 0 {
		return filepath.Join("nodes", name), nil
	}
	disk := newDirs[i%len(newDirs)]
	if _, err := os.Stat(disk); err != nil { // perhaps a disk that is not mounted
		return "", err
	}
	folder := nodeFolder(disk, name, s.facts.Seed)
	return folder, vacant(folder)
}

// unlocked makes sure that no process has one of the folders open.
func (s *Survivors) unlocked() error {
	for _, v := range s.Here {
		lock, err := lockFolder(v.Dir)
		if err != nil {
			return err
		}
		if err := lock.Close(); err != nil {
			return err
		}
	}
	return nil
}

// secrets returns the keys of all nodes: those in their own folders, and of the
// others the sealed ones.
func (s *Survivors) secrets(keys *seal.Keyring) (nodeSecrets, error) {
	var all nodeSecrets
	var errs []error
	for _, v := range s.Here {
		found, err := readSecrets(v.Dir, keys)
		if err == nil {
			all = found
			break
		}
		errs = append(errs, err)
	}
	if all == nil {
		if len(s.Missing) > 0 {
			return nil, errors.Join(errs...)
		}
		all = make(nodeSecrets)
	}
	for _, v := range s.Here {
		own := make(map[string][]byte)
		for _, file := range keyFiles {
			text, err := os.ReadFile(filepath.Join(v.Dir, file))
			if err == nil {
				own[file] = text
			} else if !absent(err) || all[v.Name][file] == nil {
				return nil, err
			}
		}
		if len(own) == len(keyFiles) {
			all[v.Name] = own
		}
	}
	return all, nil
}

// putKeys writes the key files that are not there.
func putKeys(dir string, files map[string][]byte) error {
	if len(files) != len(keyFiles) {
		return ErrKeyLost
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if _, err := os.Lstat(path); !absent(err) {
			if err != nil {
				return err
			}
			continue
		}
		if err := keepFile(path, text); err != nil {
			return err
		}
	}
	return nil
}
