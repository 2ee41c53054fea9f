package rpc

import (
	"fmt"

	pb "github.com/block-vision/sui-go-sdk/pb/sui/rpc/v2"

	"github.com/walfs/walfs/chain/move"
)

func readCommand(field string, c *pb.Command) (out move.Command, err error) {
	var target *pb.Argument
	var arguments []*pb.Argument
	switch v := c.GetCommand().(type) {
	case *pb.Command_MoveCall:
		out.Kind = move.CommandMoveCall
		out.Call, err = readCall(field+".move_call", v.MoveCall)
		return out, err
	case *pb.Command_TransferObjects:
		out.Kind, target, arguments = move.CommandTransferObjects, v.TransferObjects.GetAddress(), v.TransferObjects.GetObjects()
	case *pb.Command_SplitCoins:
		out.Kind, target, arguments = move.CommandSplitCoins, v.SplitCoins.GetCoin(), v.SplitCoins.GetAmounts()
	case *pb.Command_MergeCoins:
		out.Kind, target, arguments = move.CommandMergeCoins, v.MergeCoins.GetCoin(), v.MergeCoins.GetCoinsToMerge()
	case *pb.Command_MakeMoveVector:
		out.Kind = move.CommandMakeMoveVec
		if v.MakeMoveVector != nil && v.MakeMoveVector.ElementType != nil {
			t, err := readTypeTag(field+".make_move_vector.element_type", v.MakeMoveVector.GetElementType())
			if err != nil {
				return out, err
			}
			out.Type = &t
		}
		out.Arguments, err = readArguments(field+".elements", v.MakeMoveVector.GetElements())
		return out, err
	case *pb.Command_Publish:
		out.Kind, out.Modules = move.CommandPublish, v.Publish.GetModules()
		out.Dependencies, err = readIDs(field+".publish.dependencies", v.Publish.GetDependencies())
		return out, err
	case *pb.Command_Upgrade:
		return readUpgrade(field+".upgrade", v.Upgrade)
	default:
		return out, invalid(field, "missing or unknown command")
	}
	if out.Target, err = readArgument(field+".target", target); err != nil {
		return out, err
	}
	out.Arguments, err = readArguments(field+".arguments", arguments)
	return out, err
}

func readUpgrade(field string, u *pb.Upgrade) (out move.Command, err error) {
	if u == nil {
		return out, missing(field)
	}
	out.Kind, out.Modules = move.CommandUpgrade, u.Modules
	if out.Dependencies, err = readIDs(field+".dependencies", u.Dependencies); err != nil {
		return out, err
	}
	if out.Package, err = parseID(field+".package", u.Package); err != nil {
		return out, err
	}
	out.Target, err = readArgument(field+".ticket", u.Ticket)
	return out, err
}

func readIDs(field string, names []string) (ids []move.ID, err error) {
	for i, name := range names {
		id, err := parseID(fmt.Sprintf("%s[%d]", field, i), &name)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func readCall(field string, call *pb.MoveCall) (out move.Call, err error) {
	if call == nil {
		return out, missing(field)
	}
	if out.Package, err = parseID(field+".package", call.Package); err != nil {
		return out, err
	}
	if call.Module == nil || call.Function == nil {
		return out, missing(field + ".module or function")
	}
	out.Module, out.Function = *call.Module, *call.Function
	for i, name := range call.TypeArguments {
		t, err := readTypeTag(fmt.Sprintf("%s.type_arguments[%d]", field, i), name)
		if err != nil {
			return out, err
		}
		out.Types = append(out.Types, t)
	}
	out.Arguments, err = readArguments(field+".arguments", call.Arguments)
	return out, err
}

func readTypeTag(field, name string) (move.TypeTag, error) {
	if len(name) > maxType {
		return move.TypeTag{}, invalid(field, "type name of %d bytes", len(name))
	}
	t, err := move.ParseTypeTag(name)
	if err != nil {
		return t, invalid(field, "%v", err)
	}
	return t, nil
}
