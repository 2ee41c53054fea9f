package rpc

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// maxPath is the longest path of a mask that is read, in bytes.
const maxPath = 1000

// wildcard is a path that stands for all there is.
const wildcard = "*"

// mask is the fields of a message to keep: nil keeps all, an empty one none.
// The mask of a field that is a message says what to keep of that.
type mask map[protoreflect.Name]mask

// readMask reads the mask of a request about a message, or the default for a
// request without one. It returns InvalidArgument for paths that name nothing.
func readMask(m *fieldmaskpb.FieldMask, of proto.Message, byDefault string) (mask, error) {
	paths := m.GetPaths()
	if m == nil {
		paths = strings.Split(byDefault, ",")
	}
	tree := mask{}
	for _, path := range paths {
		if path == wildcard {
			return nil, nil
		}
		if err := tree.add(of.ProtoReflect().Descriptor(), path); err != nil {
			return nil, err
		}
	}
	return tree, nil
}

// add adds a path below a message.
func (m mask) add(message protoreflect.MessageDescriptor, path string) error {
	if len(path) > maxPath {
		return status.Errorf(codes.InvalidArgument, "read_mask: path of %d bytes", len(path))
	}
	rest := path
	for {
		head, tail, deeper := strings.Cut(rest, ".")
		var field protoreflect.FieldDescriptor
		if message != nil {
			field = message.Fields().ByName(protoreflect.Name(head))
		}
		if field == nil {
			return status.Errorf(codes.InvalidArgument, "read_mask: invalid path %q", path)
		}
		below, known := m[field.Name()]
		if known && below == nil {
			// All of it is kept already; the rest of the path still has to make sense.
			below = mask{}
		}
		switch {
		case !deeper:
			m[field.Name()] = nil
			return nil
		case !known:
			below = mask{}
			m[field.Name()] = below
		}
		m, rest, message = below, tail, nil
		if field.Message() != nil && !field.IsMap() {
			message = field.Message()
		}
	}
}

// keeps reports whether anything of a field is kept.
func (m mask) keeps(name protoreflect.Name) bool {
	if m == nil {
		return true
	}
	_, ok := m[name]
	return ok
}

// prune clears what the mask does not keep, and returns the message.
func prune[M proto.Message](m mask, message M) M {
	m.prune(message.ProtoReflect())
	return message
}

func (m mask) prune(message protoreflect.Message) {
	if m == nil || !message.IsValid() {
		return
	}
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		below, ok := m[field.Name()]
		switch {
		case !ok:
			message.Clear(field)
		case below == nil || field.Message() == nil || field.IsMap():
		case field.IsList():
			for list, i := value.List(), 0; i < list.Len(); i++ {
				below.prune(list.Get(i).Message())
			}
		default:
			below.prune(value.Message())
		}
		return true
	})
}
