package localnet

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/walfs/walfs/chain"
	"github.com/walfs/walfs/chain/move"
)

// Keys of the table meta.
const (
	metaChainID  = "chain_id"
	metaOriginal = "package_original"
	metaWAL      = "package_wal"
	metaSystem   = "system"
	metaStaking  = "staking"
	metaTreasury = "treasury"
	metaFaucet   = "faucet"
	metaClock    = "clock_ms" // the ledger's time when it was last written
	metaLog      = "log"      // the record of the log up to which the tables are
)

// ErrDamaged reports a ledger that lacks what every ledger has.
var ErrDamaged = errors.New("ledger is damaged")

// facts are what a ledger is made with and never changes.
type facts struct {
	chainID  [32]byte
	packages move.Packages
	system   move.ID
	staking  move.ID
	treasury move.ID
	faucet   chain.Address
}

// fields names the facts as meta does.
func (f *facts) fields() map[string]*[32]byte {
	return map[string]*[32]byte{
		metaChainID:  &f.chainID,
		metaOriginal: (*[32]byte)(&f.packages.Walrus),
		metaWAL:      (*[32]byte)(&f.packages.WAL),
		metaSystem:   (*[32]byte)(&f.system),
		metaStaking:  (*[32]byte)(&f.staking),
		metaTreasury: (*[32]byte)(&f.treasury),
		metaFaucet:   (*[32]byte)(&f.faucet),
	}
}

func (f *facts) save(ctx context.Context, tx *sql.Tx) error {
	for key, value := range f.fields() {
		if err := setMeta(ctx, tx, key, value[:]); err != nil {
			return err
		}
	}
	return nil
}

func (f *facts) load(ctx context.Context, q queryer) error {
	for key, value := range f.fields() {
		b, err := getMeta(ctx, q, key)
		if err != nil {
			return err
		}
		if copy(value[:], b) != len(value) {
			return fmt.Errorf("%s of %d bytes: %w", key, len(b), ErrDamaged)
		}
	}
	f.complete()
	return nil
}

// complete fills what derives from the rest.
func (f *facts) complete() {
	f.packages.Exchange = derive(f.chainID[:], "wal_exchange")
	f.packages.Subsidies = derive(f.chainID[:], "walrus_subsidies")
	f.packages.BuyersPackage = derive(f.chainID[:], "subsidies")
}

func setMeta(ctx context.Context, tx *sql.Tx, key string, value []byte) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES (?, ?)
		ON CONFLICT (key) DO UPDATE SET value = excluded.value`, key, value)
	return err
}

func getMeta(ctx context.Context, q queryer, key string) ([]byte, error) {
	var value []byte
	err := q.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = ?`, key).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("no %s: %w", key, ErrDamaged)
	}
	return value, err
}

func uint64Bytes(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }

func bytesUint64(b []byte) (uint64, error) {
	const size = 8
	if len(b) != size {
		return 0, fmt.Errorf("number of %d bytes: %w", len(b), ErrDamaged)
	}
	return binary.LittleEndian.Uint64(b), nil
}
