package rpc

import (
	"context"
	"fmt"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"

	"github.com/walfs/walfs/chain/localnet"
	"github.com/walfs/walfs/chain/move"
)

// executionService executes and simulates transactions.
type executionService struct {
	pb.UnimplementedTransactionExecutionServiceServer
	net *localnet.Net
}

// ExecuteTransaction implements the method of sui.rpc.v2.TransactionExecutionService. A
// transaction that fails in a contract is a success of the call: its status says what failed.
func (s *executionService) ExecuteTransaction(ctx context.Context, q *pb.ExecuteTransactionRequest) (*pb.ExecuteTransactionResponse, error) {
	m, err := readMask(q.ReadMask, new(pb.ExecutedTransaction), executeDefault)
	if err != nil {
		return nil, err
	}
	if q.Transaction == nil {
		return nil, missing("transaction")
	}
	bcs := q.Transaction.GetBcs().GetValue()
	if bcs == nil {
		if bcs, err = marshalComplete(q.Transaction); err != nil {
			return nil, err
		}
	}
	var signatures [][]byte
	for i, signature := range q.Signatures {
		raw, err := readSignature(fmt.Sprintf("signatures[%d]", i), signature)
		if err != nil {
			return nil, err
		}
		signatures = append(signatures, raw)
	}
	e, err := s.net.Execute(ctx, bcs, signatures)
	if err != nil {
		return nil, err
	}
	out, err := executedOf(e, m)
	return &pb.ExecuteTransactionResponse{Transaction: out}, err
}

// marshalComplete returns the BCS of a transaction that was sent as its
// structure, and of which nothing may be open: its sender has signed it.
func marshalComplete(t *pb.Transaction) ([]byte, error) {
	p, err := partialOf(t)
	if err != nil {
		return nil, err
	}
	complete := move.Transaction{Commands: p.Commands, Sender: p.Sender, Gas: p.Gas, Expiration: p.Expiration}
	for i := range p.Inputs {
		if p.Inputs[i].Lookup {
			return nil, invalid(fmt.Sprintf("transaction.kind.inputs[%d]", i), "not resolved")
		}
		complete.Inputs = append(complete.Inputs, p.Inputs[i].Input)
	}
	bcs, err := move.Marshal(&complete)
	if err != nil {
		return nil, invalid("transaction", "%v", err)
	}
	return bcs, nil
}

// simulateDefault is what is told of a simulation without a mask.
const simulateDefault = wildcard

// SimulateTransaction implements the method of sui.rpc.v2.TransactionExecutionService.
// A transaction that is sent as its structure is completed first; one that is
// sent as BCS is taken as it is, but for coins to pay with when they are asked for.
func (s *executionService) SimulateTransaction(ctx context.Context, q *pb.SimulateTransactionRequest) (*pb.SimulateTransactionResponse, error) {
	m, err := readMask(q.ReadMask, new(pb.SimulateTransactionResponse), simulateDefault)
	if err != nil {
		return nil, err
	}
	t, err := s.complete(ctx, q)
	if err != nil {
		return nil, err
	}
	checks := q.GetChecks() == pb.SimulateTransactionRequest_ENABLED
	e, err := s.net.Simulate(ctx, t, checks)
	if err != nil {
		return nil, err
	}
	out, err := executedOf(e, nil)
	if err != nil {
		return nil, err
	}
	return prune(m, &pb.SimulateTransactionResponse{Transaction: out, CommandOutputs: outputsOf(e)}), nil
}

// complete returns the transaction that a request wants to be simulated.
func (s *executionService) complete(ctx context.Context, q *pb.SimulateTransactionRequest) (*move.Transaction, error) {
	if q.Transaction == nil {
		return nil, missing("transaction")
	}
	bcs := q.Transaction.GetBcs().GetValue()
	if bcs == nil {
		p, err := partialOf(q.Transaction)
		if err != nil {
			return nil, err
		}
		p.SelectGas = q.GetDoGasSelection()
		return s.net.Resolve(ctx, p)
	}
	t := new(move.Transaction)
	if err := move.Unmarshal(bcs, t); err != nil {
		return nil, invalid("transaction.bcs", "%v", err)
	}
	if !q.GetDoGasSelection() || len(t.Gas.Payment) > 0 {
		return t, nil
	}
	p := &localnet.Partial{Commands: t.Commands, Sender: t.Sender, Gas: t.Gas, SelectGas: true, Expiration: t.Expiration}
	for _, in := range t.Inputs {
		p.Inputs = append(p.Inputs, localnet.PartialInput{Input: in})
	}
	return s.net.Resolve(ctx, p)
}

// outputsOf returns what each command of a simulation returned.
func outputsOf(e *localnet.Executed) []*pb.CommandResult {
	var out []*pb.CommandResult
	for i, results := range e.Results {
		command := new(pb.CommandResult)
		for j, r := range results {
			command.ReturnValues = append(command.ReturnValues, &pb.CommandOutput{
				Argument: argumentOf(move.Argument{Kind: move.ArgumentNestedResult, Index: uint16(i), Result: uint16(j)}),
				Value:    named(r.Type.String(), r.BCS),
			})
		}
		out = append(out, command)
	}
	return out
}
