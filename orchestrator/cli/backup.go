package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sluice-nfv/sluice/orchestrator/backup"
)

// backupCommand saves all that a server keeps in its store.
func (s *session) backupCommand() *cobra.Command {
	return &cobra.Command{
		Use: "backup FILE", Short: "save everything that the server keeps to a new file", Args: cobra.ExactArgs(1),
		Long: `backup writes the whole store at one moment to a new file that only you can
read: all objects, tokens (as hashes), and the keys of both certificate
authorities. The file is not encrypted, and whoever has it can take over every
router: keep it as you would keep the keys. Audit records, the admin token's
file and images are not in it. ` + "`sluice restore`" + ` makes a server of it.`,
		Example: "  sluice backup /root/sluice-$(date +%F).backup",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.open(cmd); err != nil {
				return err
			}
			info, err := s.backup(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(s.out, "%s: %d entries at revision %d; it has the keys of everything and is not encrypted\n", clean(args[0]), info.Entries, info.Revision)
			return err
		},
	}
}

// backup is only there when it was checked and is on the disk.
func (s *session) backup(ctx context.Context, path string) (info backup.Info, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return info, fmt.Errorf("make backup file: %w", err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			os.Remove(path)
		}
	}()
	if err := s.api.Save(ctx, "/v1/backup", f); err != nil {
		return info, err
	}
	if err := f.Sync(); err != nil {
		return info, fmt.Errorf("write backup file: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return info, fmt.Errorf("read backup file: %w", err)
	}
	return backup.Read(f, func(string, []byte) error { return nil })
}

// RestoreTarget is where a store is restored: in Etcd if that is given, else in
// DataDir. They are as those of the server.
type RestoreTarget struct {
	DataDir, AuditDir string
	Etcd              []string
	EtcdFiles
}

// EtcdFiles are PEM files for an etcd cluster; each may be left out.
type EtcdFiles struct{ CA, Cert, Key string }

// Bind makes the flags, for the server and for restore.
func (e *EtcdFiles) Bind(f *pflag.FlagSet) {
	f.StringVar(&e.CA, "etcd-ca", "", "PEM file that vouches for the etcd cluster (default: those that this machine trusts)")
	f.StringVar(&e.Cert, "etcd-cert", "", "PEM file with the certificate that the etcd cluster is shown")
	f.StringVar(&e.Key, "etcd-key", "", "PEM file with its key")
}

// RestoreCommand makes a store of a backup, with what main gives it.
func RestoreCommand(restore func(ctx context.Context, to RestoreTarget, from io.ReadSeeker) (backup.Info, error)) *cobra.Command {
	var to RestoreTarget
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "make the store of a server from a backup, without a server", Args: cobra.ExactArgs(1),
		Long: `restore checks a backup and makes a store of it in an empty data directory, or
with --etcd in an etcd that has none. Then start the server there. A damaged file,
one of a newer version, and a place that is not empty are refused; an attempt that
was cut short is begun anew by the next.

Routers that run are adopted, not rebuilt: they know the certificate authorities
of the backup. Fences, generations and ETags go on above all that was seen before,
also after the backup was made. End the old server first: two of them would
both command the routers.

What was done since the backup is forgotten. Look after it by hand: tokens that
were revoked since then are valid again (` + "`sluice token list`" + `), and routers that
were made since then run on as domains that the server does not know
(` + "`sluice doctor`" + ` names them) with addresses that it may give away.`,
		Example: "  sluice restore /root/sluice.backup --data-dir /var/lib/sluice",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := Configure(cmd); err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return fmt.Errorf("open backup: %w", err)
			}
			defer f.Close()
			info, err := restore(cmd.Context(), to, f)
			if err != nil {
				return err
			}
			place, flag := filepath.Clean(to.DataDir), "--data-dir"
			if len(to.Etcd) > 0 {
				place, flag = strings.Join(to.Etcd, ","), "--etcd"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: restored %d entries of %s, made by sluice %s; start it with `sluice server %s %[1]s`\n",
				clean(place), info.Entries, info.Created.Format(time.RFC3339), clean(info.Server), flag)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&to.DataDir, "data-dir", "/var/lib/sluice", "empty or new directory of the server")
	f.StringSliceVar(&to.Etcd, "etcd", nil, "endpoints of an etcd cluster without a store (default: embedded, in the data directory)")
	to.EtcdFiles.Bind(f)
	f.StringVar(&to.AuditDir, "audit-dir", "", "where it is noted that the store was restored (default: audit in the data directory)")
	Configurable(f)
	return cmd
}
