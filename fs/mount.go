package fs

// MountOptions says where and how to mount.
type MountOptions struct {
	Dir        string
	Name       string   // of the drive, shown by df
	Options    []string // as after mount -o
	AllowOther bool
	Debug      bool // log every request
}

// Server is a mounted file system.
type Server struct{}

// Mount mounts the file system and returns when the kernel can use it.
func (fs *FS) Mount(o MountOptions) (*Server, error) { return nil, errUnfinished }

// Wait returns when the file system is unmounted and its state is on stable storage.
func (s *Server) Wait() error { return errUnfinished }

// Unmount unmounts and waits. It fails while the file system is in use.
func (s *Server) Unmount() error { return errUnfinished }
