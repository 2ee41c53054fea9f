package rpc

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/localnet"
)

// invalid refuses a request that makes no sense, as Sui words it.
func invalid(field, format string, args ...any) error {
	return status.Error(codes.InvalidArgument, clipTo(maxMessage, field+": "+fmt.Sprintf(format, args...)))
}

// missing refuses a request without a field that has to be there.
func missing(field string) error { return invalid(field, "missing") }

// statusOf returns an error as gRPC tells it.
func statusOf(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codeOf(err), clipTo(maxMessage, err.Error()))
}

// maxMessage is the longest text of an error, in bytes: it travels in a header.
const maxMessage = 2048

func codeOf(err error) codes.Code {
	var refused *localnet.RefusedError
	switch {
	case errors.As(err, &refused):
		if refused.Kind == localnet.RefusedMissing {
			return codes.NotFound
		}
		return codes.InvalidArgument
	case errors.Is(err, chain.ErrNotExist):
		return codes.NotFound
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	}
	return codes.Internal
}

// itemStatus is an error about one member of a batch.
func itemStatus(err error) *rpcstatus.Status { return status.Convert(statusOf(err)).Proto() }
