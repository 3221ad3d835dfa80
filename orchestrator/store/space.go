package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// etcd keeps every version of a key until it is compacted, and the file keeps
// the room of what was compacted until it is defragmented. A file of the size
// of the quota raises the NOSPACE alarm, which is kept over restarts and
// refuses all writes, also those that delete, until it is disarmed
// (etcd.io/docs, "Maintenance").

// DefaultQuota is how large the embedded etcd's database may be, in bytes.
const DefaultQuota = 4 << 30

const (
	// wasteful is how much unused room in the file is worth a defragmentation
	// at start, in bytes, if it is also half of the file.
	wasteful = 64 << 20
	// lookEvery is how often the alarm is looked at; asking costs no more than
	// a lock in this process.
	lookEvery = time.Second
	// againAfter is the pause after an attempt that left the database too full.
	againAfter = time.Minute
)

// CodeFull is the code of writes that are refused because etcd's database is
// at its quota. Reads go on.
const CodeFull = "store-full"

// full tells an etcd that takes no writes from other errors.
func full(err error) error {
	if !errors.Is(err, rpctypes.ErrNoSpace) {
		return err
	}
	return v1.Unavailable(CodeFull, "write to etcd: its database is at its quota and takes no writes. Nothing was changed, reads go on. "+
		"The embedded etcd makes room by itself: retry in a few seconds; if it stays so, start the server with a larger --etcd-quota. "+
		"An etcd cluster has to be compacted, defragmented and its alarm disarmed (`etcdctl compact`, `defrag`, `alarm disarm`)").Because(err)
}

// keeper makes room in the embedded etcd. Nobody else uses that, so it is the
// keeper's to compact.
type keeper struct {
	client *clientv3.Client
	// defragment stops all reads and writes for as long as it takes. (The
	// in-process client's own cannot be called: it wants a server's health.)
	defragment func() error
	quota      int64 // bytes
	log        *slog.Logger
}

// atStart makes room before anything is served: after an alarm, and when the
// file is mostly empty.
func (k keeper) atStart(ctx context.Context) error {
	alarms, err := k.alarms(ctx)
	if err != nil {
		return err
	}
	status, err := k.client.Status(ctx, "")
	if err != nil {
		return fmt.Errorf("read size of etcd's database: %w", err)
	}
	unused := status.DbSize - status.DbSizeInUse
	if len(alarms) == 0 && (unused < wasteful || unused < status.DbSize/2) {
		return nil
	}
	return k.makeRoom(ctx)
}

// run makes room whenever the alarm is raised, until the context ends.
func (k keeper) run(ctx context.Context) {
	for pause := lookEvery; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = lookEvery
		alarms, err := k.alarms(ctx)
		if err == nil && len(alarms) > 0 {
			err = k.makeRoom(ctx)
		}
		if err != nil && ctx.Err() == nil {
			k.log.Error("etcd's database stays full", "err", err, "retry", againAfter)
			pause = againAfter
		}
	}
}

// makeRoom compacts all but the newest versions, gives their room back, and
// lets writes in again. Each step can be repeated. A watch that is behind has
// to read everything again, which the feeder does.
func (k keeper) makeRoom(ctx context.Context) error {
	before, err := k.client.Status(ctx, "")
	if err != nil {
		return fmt.Errorf("read size of etcd's database: %w", err)
	}
	_, err = k.client.Compact(ctx, before.Header.Revision, clientv3.WithCompactPhysical())
	if err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		return fmt.Errorf("compact etcd at revision %d: %w", before.Header.Revision, err)
	}
	if err := k.defragment(); err != nil {
		return fmt.Errorf("defragment etcd: %w", err)
	}
	after, err := k.client.Status(ctx, "")
	if err != nil {
		return fmt.Errorf("read size of etcd's database: %w", err)
	}
	// Near the quota the next write would raise the alarm again.
	if after.DbSize > k.quota/10*9 {
		return fmt.Errorf("make room in etcd: %d bytes are in use, of a quota of %d: start the server with a larger --etcd-quota", after.DbSize, k.quota)
	}
	k.log.Info("made room in etcd", "before", before.DbSize, "after", after.DbSize)
	return k.disarm(ctx)
}

// alarms are those about space. That of a corrupt database is left alone.
func (k keeper) alarms(ctx context.Context) (about []*etcdserverpb.AlarmMember, err error) {
	all, err := k.client.AlarmList(ctx)
	if err != nil {
		return nil, fmt.Errorf("list alarms of etcd: %w", err)
	}
	for _, a := range all.Alarms {
		if a.GetAlarm() == etcdserverpb.AlarmType_NOSPACE {
			about = append(about, a)
		}
	}
	return about, nil
}

func (k keeper) disarm(ctx context.Context) error {
	alarms, err := k.alarms(ctx)
	if err != nil {
		return err
	}
	for _, a := range alarms {
		if _, err := k.client.AlarmDisarm(ctx, &clientv3.AlarmMember{MemberID: a.GetMemberID(), Alarm: a.GetAlarm()}); err != nil {
			return fmt.Errorf("disarm alarm of etcd: %w", err)
		}
		k.log.Info("etcd takes writes again")
	}
	return nil
}
