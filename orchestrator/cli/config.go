package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"
)

// DefaultConfig is the configuration file that is read if it is there.
const DefaultConfig = "/etc/sluice/sluice.yaml"

// The annotations of a flag: that it can be configured, and by what it was.
const (
	configurable = "sluice_configurable"
	configuredBy = "sluice_configured_by"
)

// Configurable marks flags that can be set by SLUICE_ variables and by the
// configuration file, under their names.
func Configurable(flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) { _ = flags.SetAnnotation(f.Name, configurable, nil) }) // fails for unknown flags
}

func isConfigurable(f *pflag.Flag) bool {
	_, ok := f.Annotations[configurable]
	return ok
}

// variable is the environment's name of a flag.
func variable(flag string) string {
	return "SLUICE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Configure sets the flags that the command line left alone: by the
// environment, else by the configuration file, else they keep what is built in.
func Configure(cmd *cobra.Command) error { return configure(cmd, cmd.Flags()) }

func configure(cmd *cobra.Command, flags *pflag.FlagSet) error {
	file, err := readConfig(cmd)
	if err != nil {
		return err
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if err == nil && isConfigurable(f) && !f.Changed {
			err = file.set(f)
		}
	})
	return err
}

// configFile is what the file says, by the flags' names.
type configFile struct {
	path   string
	values map[string]*yaml.Node
}

func (c configFile) set(f *pflag.Flag) error {
	by := variable(f.Name)
	values := []string{os.Getenv(by)}
	if _, there := os.LookupEnv(by); !there {
		node := c.values[f.Name]
		if node == nil {
			return nil
		}
		by = fmt.Sprintf("%s:%d", c.path, node.Line)
		values = scalars(node)
	}
	for _, value := range values {
		if err := f.Value.Set(value); err != nil {
			return usagef("%s: %s %q: %w", by, f.Name, value, err)
		}
	}
	f.Annotations[configuredBy] = []string{by}
	return nil
}

// scalars are the texts of a value or of a list.
func scalars(node *yaml.Node) []string {
	if node.Kind != yaml.SequenceNode {
		return []string{node.Value}
	}
	out := make([]string, 0, len(node.Content))
	for _, n := range node.Content {
		out = append(out, n.Value)
	}
	return out
}

// readConfig reads the file named by --config or SLUICE_CONFIG, or the default
// one, which need not be there.
func readConfig(cmd *cobra.Command) (configFile, error) {
	c := configFile{path: DefaultConfig}
	asked := false
	if path, there := os.LookupEnv(variable("config")); there {
		c.path, asked = path, true
	}
	if f := cmd.Root().PersistentFlags().Lookup("config"); f != nil && f.Changed {
		c.path, asked = f.Value.String(), true
	}
	b, err := os.ReadFile(c.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !asked:
		return c, nil
	case err != nil:
		return c, fmt.Errorf("read configuration: %w", err)
	}
	c.values, err = parseConfig(b, knownFlags(cmd.Root()))
	if err != nil {
		return c, usagef("configuration %s: %w", c.path, err)
	}
	return c, nil
}

// parseConfig reads one flat mapping of flags to values.
func parseConfig(b []byte, known map[string]*pflag.Flag) (map[string]*yaml.Node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, err
	}
	values := map[string]*yaml.Node{}
	if len(doc.Content) == 0 {
		return values, nil // empty
	}
	top := doc.Content[0]
	if top.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: want lines such as `data-dir: /var/lib/sluice`", top.Line)
	}
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		switch {
		case known[key.Value] == nil:
			return nil, fmt.Errorf("line %d: %q is unknown; known are %s", key.Line, key.Value, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		case values[key.Value] != nil:
			return nil, fmt.Errorf("line %d: %q is there already, in line %d", key.Line, key.Value, values[key.Value].Line)
		case !isPlain(value):
			return nil, fmt.Errorf("line %d: %q: want a value or a list of values", value.Line, key.Value)
		}
		values[key.Value] = value
	}
	return values, nil
}

func isPlain(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode || n.Kind == yaml.SequenceNode &&
		!slices.ContainsFunc(n.Content, func(e *yaml.Node) bool { return e.Kind != yaml.ScalarNode })
}

// knownFlags are all that can be configured, of every command.
func knownFlags(cmd *cobra.Command) map[string]*pflag.Flag {
	known := map[string]*pflag.Flag{}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, flags := range []*pflag.FlagSet{c.PersistentFlags(), c.LocalNonPersistentFlags()} {
			flags.VisitAll(func(f *pflag.Flag) {
				if isConfigurable(f) && known[f.Name] == nil {
					known[f.Name] = f
				}
			})
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(cmd)
	return known
}

func (s *session) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "what is configured, and by what", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return usagef("%s: say show", cmd.CommandPath()) },
	}
	cmd.AddCommand(&cobra.Command{
		Use: "show", Short: "show every setting with where its value comes from", Args: cobra.NoArgs,
		Long: `show lists the settings of the command line and of the server. A flag comes
before its variable, --data-dir before SLUICE_DATA_DIR, and this before the
configuration file, ` + DefaultConfig + ` unless --config or SLUICE_CONFIG
names another. The file has a line for each setting, under the flag's name:

  data-dir: /srv/sluice
  listen: 127.0.0.1:8743
  etcd: [https://a:2379, https://b:2379]`,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.showConfig(cmd) },
	})
	return cmd
}

func (s *session) showConfig(cmd *cobra.Command) error {
	if err := s.open(cmd); err != nil {
		return err
	}
	var items []object
	known := knownFlags(cmd.Root())
	for _, name := range slices.Sorted(maps.Keys(known)) {
		f := known[name]
		one := pflag.NewFlagSet("", pflag.ContinueOnError)
		one.AddFlag(f)
		if err := configure(cmd, one); err != nil {
			return err
		}
		from := "built in"
		if by := f.Annotations[configuredBy]; len(by) > 0 {
			from = by[0]
		} else if f.Changed {
			from = "--" + name
		}
		items = append(items, object{"name": name, "value": f.Value.String(), "from": from})
	}
	return s.print(&noun{columns: []string{"name", "value", "from"}}, items, false)
}
