package contract

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// moveFunction finds a Move function in a comment.
var moveFunction = regexp.MustCompile(`\b[a-z_]+::[a-z_0-9]+\b`)

// withoutWAL are rules that neither take nor give WAL, nor what stands for it: TestSupplyIsConserved need not play them.
var withoutWAL = map[string]bool{
	"AuthorizedAddress": true, "AuthorizedObject": true, "SetCommissionReceiver": true, "SetGovernanceAuthorized": true,
	"CreateEmptyBuyerSubsidies": true, "SetBuyerSubsidyRate": true, "SetSystemSubsidyRate": true,
	"SetUsageSubsidyRate": true, "SetBaseSubsidy": true, "SetPerShardSubsidy": true,
	"TotalSupply": true, "CalculateRewards": true, "CanWithdrawEarly": true, "TryJoinActiveSet": true,
	"InitiateEpochChangeWithoutBurn": true, // which always aborts
	"DeleteDenyListedBlob":           true, "UpdateProtocolVersion": true, "InvalidateBlobID": true, "CheckCovers": true,
	"AddAllSUI": true, "FusePeriods": true, "FuseAmount": true, // Fuse is one of the two
	"AddMetadata": true, "AddOrReplaceMetadata": true, "TakeMetadata": true,
	"InsertOrUpdateMetadataPair": true, "RemoveMetadataPair": true, "RemoveMetadataPairIfExists": true,
	"SetMigrationEpoch": true, "Migrate": true,
	"NewNodeMetadata": true, "NodeMetadata": true, "SetName": true, "SetNetworkAddress": true, "SetNetworkPublicKey": true,
	"SetNodeMetadata": true, "SetNextPublicKey": true,
	"AuthorizeUpgrade": true, "AuthorizeEmergencyUpgrade": true, "CommitUpgrade": true, "BurnEmergencyUpgradeCap": true,
}

// TestEveryRuleIsPlayed looks for each rule that stands for a public Move function among what the
// player of TestSupplyIsConserved calls.
func TestEveryRuleIsPlayed(t *testing.T) {
	played := make(map[string]bool)
	for _, name := range []string{"player_test.go", "playblob_test.go", "playstake_test.go", "playmoney_test.go", "economy_test.go"} {
		ast.Inspect(parsed(t, name), func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				played[id.Name] = true
			}
			return true
		})
	}
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	rules, left := 0, maps.Clone(withoutWAL)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		for _, d := range parsed(t, path).Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() || f.Recv != nil || !moveFunction.MatchString(f.Doc.Text()) {
				continue
			}
			rules++
			switch name := f.Name.Name; {
			case played[name] && withoutWAL[name]:
				t.Errorf("%s is played, and among those that need not be", name)
			case !played[name] && !withoutWAL[name]:
				t.Errorf("%s of %s is not played: %s", name, path, moveFunction.FindString(f.Doc.Text()))
			}
			delete(left, f.Name.Name)
		}
	}
	for name := range left {
		t.Errorf("there is no rule %s", name)
	}
	if rules < 100 {
		t.Errorf("%d rules found", rules)
	}
}

func parsed(t *testing.T, path string) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return file
}
