package ptb

import (
	"github.com/walfs/walfs/chain/localnet/contract"
	"github.com/walfs/walfs/chain/localnet/overlay"
)

var authModule = module{inWalrus, "auth", []declared{
	{"authenticate_sender(ctx): Authenticated", contract.AuthenticateSender},
	{"authenticate_with_object<T: key>(&T): Authenticated", func(o overlay.Object) contract.Authenticated {
		return contract.AuthenticateWithObject(o.ObjectID())
	}},
	{"authorized_address(address): Authorized", contract.AuthorizedAddress},
	{"authorized_object(ID): Authorized", contract.AuthorizedObject},
}}

var slashingModule = module{inWalrus, "slashing", []declared{
	{"vote_for_slashing(&mut SlashingManager, &Staking, Authenticated, ID, ID)", contract.VoteForSlashing},
	{"execute_slashing(&mut SlashingManager, &mut Staking, &mut ProtectedTreasury, ID, ctx)", contract.ExecuteSlashing},
	{"cleanup_slashing_proposals(&mut SlashingManager, &Staking, vector<ID>)", contract.CleanupSlashingProposals},
}}

var upgradeModule = module{inWalrus, "upgrade", []declared{
	{"vote_for_upgrade(&mut UpgradeManager, &Staking, Authenticated, ID, vector<u8>)", contract.VoteForUpgrade},
	{"authorize_upgrade(&mut UpgradeManager, &Staking, vector<u8>): UpgradeTicket", contract.AuthorizeUpgrade},
	{"authorize_emergency_upgrade(&mut UpgradeManager, &EmergencyUpgradeCap, vector<u8>): UpgradeTicket", contract.AuthorizeEmergencyUpgrade},
	{"commit_upgrade(&mut UpgradeManager, &mut Staking, &mut System, UpgradeReceipt)", contract.CommitUpgrade},
	{"cleanup_upgrade_proposals(&mut UpgradeManager, &Staking, vector<vector<u8>>)", contract.CleanupUpgradeProposals},
	{"burn_emergency_upgrade_cap(EmergencyUpgradeCap)", contract.BurnEmergencyUpgradeCap},
}}

var initModule = module{inWalrus, "init", []declared{
	{"migrate(&mut Staking, &mut System)", contract.Migrate},
}}
