package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"gantry"
	"gantry/internal/store"

	"github.com/spf13/cobra"
)

// A backup is one line, the identity of the data dir it was taken from, and the
// store's own backup behind it.

// maxIdentity bounds that line, in bytes, before anything in it is believed.
const maxIdentity = 4 << 10

func newBackup() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write everything that a running gantry knows into a file; - writes to standard output",
		Long: `Write everything that a running gantry knows into a file: clusters, task
definitions, tasks, container instances, settings, and the keys. Not in it are
images, volumes, logs, and what agents keep on their machines. The file holds
secret keys: keep it as you would keep them.`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := findClient(cmd, dir)
			if err != nil {
				return err
			}
			body, err := c.command(cmd.Context(), http.MethodGet, "/backup", nil, nil)
			if err != nil {
				return err
			}
			defer body.Close()
			if args[0] == "-" {
				_, err := io.Copy(cmd.OutOrStdout(), body)
				return err
			}
			size, err := saveBackup(args[0], body)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "wrote %s (%d KiB)\n", args[0], (size+1023)/1024)
			return nil
		},
	}
	addDataDir(cmd, &dir)
	return cmd
}

// writeBackup is the server's side.
func writeBackup(ctx context.Context, w io.Writer, id *identity, st *store.Store) error {
	line, err := json.Marshal(id)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "%s\n", line); err != nil {
		return err
	}
	_, err = st.Backup(ctx, w)
	return err
}

// saveBackup writes a whole backup or no file.
func saveBackup(name string, body io.Reader) (size int64, err error) {
	part := name + ".part"
	f, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	defer os.Remove(part) // gone already where all went well
	if size, err = io.Copy(f, body); err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, fmt.Errorf("write the backup: %w", err)
	}
	return size, os.Rename(part, name)
}

func newRestore() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a data dir of a backup; - reads standard input",
		Long: `Make a data dir of a backup. Into an empty folder, or into a data dir of gantry's
whose "store" folder was moved away: then its agents, containers and logs stay, and
what they run is taken up where the backup knows of it. What the backup does not
know is left running and never stopped by itself.`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := cmd.InOrStdin()
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			}
			log, err := newLogger("error", cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if err := restore(cmd.Context(), dir, in, cmd.OutOrStdout(), log); err != nil {
				return fmt.Errorf("restore %s: %w", args[0], err)
			}
			return nil
		},
	}
	addDataDir(cmd, &dir)
	return cmd
}

func restore(ctx context.Context, path string, in io.Reader, out io.Writer, log *slog.Logger) error {
	d, err := openDataDir(path)
	if err != nil {
		return err
	}
	r := bufio.NewReaderSize(in, maxIdentity)
	line, err := r.ReadSlice('\n')
	var was identity
	if err != nil || json.Unmarshal(line, &was) != nil || was.ID == "" {
		return store.ErrNoBackup
	}
	if was.Format > dirFormat {
		return fmt.Errorf("the backup was made by a newer gantry (format %d, this one knows %d): run that version or a later one", was.Format, dirFormat)
	}
	if _, err := d.read(); err != nil {
		return err
	}
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if entries, err := os.ReadDir(d.file(storeFolder)); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s has a state already: move %s away, or restore into an empty folder", d.path, d.file(storeFolder))
	}
	if _, err := d.create(serverRole, gantry.Place{Region: was.Region, Account: was.Account}, time.Now()); err != nil {
		return err
	}
	origin, err := store.Restore(ctx, d.file(storeFolder), r, log)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "restored what was known at revision %d; start it with \"gantry up --data-dir %s\"\n", origin.BackupAt, d.path)
	return nil
}
