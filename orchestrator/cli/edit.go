package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// editing is one object in an editor.
type editing struct {
	*session
	noun         *noun
	path, editor string
	// base has the fields as they were read; only what differs from it is sent.
	base     object
	revision any
}

func (s *session) editCommand(n *noun) *cobra.Command {
	var editor string
	cmd := &cobra.Command{
		Use: "edit NAME|UUID", Short: "change what can be changed of it in an editor", Args: cobra.ExactArgs(1), ValidArgsFunction: s.names(n),
		Long: `edit opens the fields that can be changed as YAML in $VISUAL, $EDITOR or vi, and
changes what was changed there. A field whose line is taken out, or that is
null, is taken away. What the server refuses stands in the file when it opens
again; a file that is left as it was, or empty, changes nothing. If somebody
else changed the object meanwhile, nothing is overwritten unseen.`,
		Example: "  sluice " + n.name + " edit NAME\n  EDITOR=nano sluice " + n.name + " edit NAME",
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			e := &editing{session: s, noun: n, path: path, editor: cmp.Or(editor, os.Getenv("VISUAL"), os.Getenv("EDITOR"), "vi")}
			return e.run(cmd)
		},
	}
	cmd.Flags().StringVar(&editor, "editor", "", "command to edit with, instead of $VISUAL or $EDITOR")
	return cmd
}

// run opens the editor until what it leaves is taken, or is nothing new.
func (e *editing) run(cmd *cobra.Command) error {
	ctx := cmd.Context()
	if err := e.read(ctx); err != nil {
		return err
	}
	body, err := e.text()
	if err != nil {
		return err
	}
	header := "# " + clean(e.noun.name+" "+e.path[strings.LastIndex(e.path, "/")+1:]) + ": what can be changed of it.\n# Leave the file as it is to change nothing.\n"
	for refused := error(nil); ; {
		shown := header + comment(refused) + body
		got, err := e.edit(cmd, shown)
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(got)) == 0 || string(got) == shown {
			if refused != nil {
				return fmt.Errorf("nothing is changed: %w", refused)
			}
			_, err := fmt.Fprintf(e.out, "= %s %s\n", e.noun.name, clean(fmt.Sprint(e.base["name"])))
			return err
		}
		again, err := e.apply(cmd, got)
		if err == nil || !again {
			return err
		}
		refused, body = err, withoutHead(string(got))
	}
}

// read asks for the object, and for which of its fields change: the server's
// own description says so.
func (e *editing) read(ctx context.Context) error {
	var o object
	if err := e.api.Do(ctx, http.MethodGet, e.path, nil, &o); err != nil {
		return err
	}
	fields, err := e.changeable(ctx, e.noun)
	if err != nil {
		return err
	}
	changeable := object{}
	for name := range fields {
		changeable[name] = o[name]
	}
	e.revision = o["revision"]
	text, err := yamlText(changeable)
	if err != nil {
		return err
	}
	e.base, err = parseFields([]byte(text)) // so that both sides of a comparison were read alike
	return err
}

// text is what is edited: name and description first.
func (e *editing) text() (string, error) {
	var b strings.Builder
	names := slices.Sorted(maps.Keys(e.base))
	slices.SortStableFunc(names, func(a, b string) int { return rank(a) - rank(b) })
	for _, name := range names {
		line, err := yamlText(object{name: e.base[name]})
		if err != nil {
			return "", err
		}
		b.WriteString(line)
	}
	return b.String(), nil
}

func rank(field string) int {
	if i := slices.Index([]string{"name", "description", "state"}, field); i >= 0 {
		return i
	}
	return 3
}

func yamlText(o object) (string, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	err := enc.Encode(yamlValue(asAnswered(o)))
	return b.String(), err
}

func parseFields(b []byte) (object, error) {
	var o object
	if err := yaml.Unmarshal(b, &o); err != nil {
		return nil, fmt.Errorf("read the edited file: %w", err)
	}
	return o, nil
}

// apply sends what was changed; again says that editing on can mend an error.
func (e *editing) apply(cmd *cobra.Command, edited []byte) (again bool, err error) {
	want, err := parseFields(edited)
	if err != nil {
		return true, err
	}
	patch := difference(e.base, want)
	if len(patch) == 0 {
		_, err := fmt.Fprintf(e.out, "= %s %s\n", e.noun.name, clean(fmt.Sprint(e.base["name"])))
		return false, err
	}
	if e.dryRun {
		return true, e.preview(cmd.Context(), http.MethodPatch, e.path, patch)
	}
	var o object
	err = e.api.Change(cmd.Context(), e.path+e.noun.settled(), fmt.Sprint(e.revision), patch, &o)
	var refusal *v1.Error
	switch {
	case err == nil:
		return false, e.print(e.noun, []object{o}, true)
	case !errors.As(err, &refusal):
		return false, err // not an answer of the server
	case refusal.Status == http.StatusPreconditionFailed:
		return true, errors.Join(e.another(cmd.Context()), err)
	}
	return true, err
}

// another takes up that the object is at another revision: what it is now is
// told, and what the user changed can be sent on top of it.
func (e *editing) another(ctx context.Context) error {
	was := e.base
	if err := e.read(ctx); err != nil {
		return err
	}
	theirs := slices.Sorted(maps.Keys(difference(was, e.base)))
	e.base = was
	return fmt.Errorf("somebody else changed %s meanwhile; take this comment out to make your changes on top of theirs", cmp.Or(strings.Join(theirs, ", "), "what is not edited here"))
}

// difference is the merge patch (RFC 7396) that leads from one object to
// another.
func difference(from, to object) object {
	patch := object{}
	for key, have := range from {
		if _, left := to[key]; !left && have != nil {
			patch[key] = nil
		}
	}
	for key, want := range to {
		have, had := from[key]
		if had && reflect.DeepEqual(have, want) {
			continue
		}
		a, isObject := have.(object)
		if b, both := want.(object); both && isObject {
			patch[key] = difference(a, b)
		} else if had || want != nil {
			patch[key] = want
		}
	}
	return patch
}

func comment(err error) string {
	if err == nil {
		return ""
	}
	return "#\n# " + strings.ReplaceAll(report(err), "\n", "\n# ") + "\n"
}

// withoutHead is an edited text without the comments that it began with.
func withoutHead(text string) string {
	for strings.HasPrefix(text, "#") {
		_, text, _ = strings.Cut(text, "\n")
	}
	return text
}

// edit lets the user edit a text, in a file that only he can read.
func (e *editing) edit(cmd *cobra.Command, text string) ([]byte, error) {
	f, err := os.CreateTemp("", "sluice-"+e.noun.name+"-*.yaml")
	if err != nil {
		return nil, fmt.Errorf("make a file to edit: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("write the file to edit: %w", err)
	}
	// A shell, because $EDITOR may have arguments; the file's name is one of its own.
	editor := exec.CommandContext(cmd.Context(), "sh", "-c", e.editor+` "$1"`, "sluice", f.Name())
	editor.Stdin, editor.Stdout, editor.Stderr = os.Stdin, e.out, e.err
	if err := editor.Run(); err != nil {
		return nil, fmt.Errorf("nothing is changed: the editor %q failed: %w; say another one with --editor or EDITOR", e.editor, err)
	}
	return os.ReadFile(f.Name())
}
