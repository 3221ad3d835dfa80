package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-nfv/sluice/api/client"
	v1 "github.com/sluice-nfv/sluice/api/v1"
)

// Lists that are no nouns: they have no names, or are not made and deleted.
var (
	tokenList = &noun{name: "token", path: "tokens", columns: []string{"name", "uuid", "role", "accountUuid", "scope", "expires", "lastUsed"}}
	quotaList = &noun{name: "quota", path: "quotas", columns: []string{"accountName", "name", "used", "allowed"}}
)

// accessCommands are who may do what, and how much: tokens and quotas.
func (s *session) accessCommands() []*cobra.Command {
	token := &cobra.Command{Use: "token", Short: "what lets others call the server", Args: cobra.NoArgs}
	token.AddCommand(s.createTokenCommand(), s.itemsCommand(tokenList, "list tokens, without their secrets", nil), s.deleteTokenCommand())
	quota := &cobra.Command{Use: "quota", Short: "how much accounts may own", Args: cobra.NoArgs}
	quota.AddCommand(s.listQuotaCommand(), s.setQuotaCommand())
	return []*cobra.Command{token, quota}
}

// itemsCommand lists what is no noun.
func (s *session) itemsCommand(n *noun, short string, query func(*cobra.Command) (url.Values, error)) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.open(cmd); err != nil {
				return err
			}
			var q url.Values
			if query != nil {
				var err error
				if q, err = query(cmd); err != nil {
					return err
				}
			}
			all, err := client.List[object](cmd.Context(), s.api, "/v1/"+n.path, q)
			if err != nil {
				return err
			}
			return s.print(n, all, false)
		},
	}
}

func (s *session) createTokenCommand() *cobra.Command {
	var role, account, expires, file string
	var scope []string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "create one, and write its secret to a file, or print it this once", Args: cobra.ExactArgs(1),
		Long: `create makes a token. Its secret is shown this once; --secret-file writes it to
a new file that only you can read, for --token-file of the one who gets it.

Roles:
  admin       everything
  operator    the cloud and all accounts' objects; not accounts, tokens, quotas
  account     the objects of --account, and the use of what is shared with it
  read-only   reads what an operator does, or what --account does

--scope makes it narrower: parts of the API such as vips, vips:read,
metrics, or *:read. No token makes one that may do more, or lasts longer, than itself.`,
		Example: "  sluice token create red --role account --account red --expires 720h --secret-file red.token",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.open(cmd); err != nil {
				return err
			}
			body := object{"name": args[0], "role": role}
			put(body, "expiresIn", expires)
			if len(scope) > 0 {
				body["scope"] = scope
			}
			if account != "" {
				id, err := s.resolve(cmd.Context(), nounByName("account"), account)
				if err != nil {
					return err
				}
				body["accountUuid"] = id
			}
			return s.createToken(cmd, body, file)
		},
	}
	f := cmd.Flags()
	f.StringVar(&role, "role", v1.RoleAccount, "admin, operator, account or read-only")
	f.StringVar(&account, "account", "", "account that it is confined to")
	f.StringSliceVar(&scope, "scope", nil, "only these parts of the API; may be given several times")
	f.StringVar(&expires, "expires", "", "how long it is valid, such as 720h (default: for ever)")
	f.StringVar(&file, "secret-file", "", "new file for the secret, made with mode 0600 (default: print it)")
	_ = cmd.RegisterFlagCompletionFunc("account", s.flagNames(nounByName("account"))) // fails for unknown flags
	return cmd
}

// createToken opens the file first: a secret that cannot be written is lost.
func (s *session) createToken(cmd *cobra.Command, body object, file string) error {
	if s.dryRun {
		return s.preview(cmd.Context(), http.MethodPost, "/v1/tokens", body)
	}
	var to *os.File
	if file != "" {
		var err error
		if to, err = os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			return fmt.Errorf("make secret file: %w", err)
		}
		defer to.Close()
	}
	var o object
	if err := s.api.Do(cmd.Context(), http.MethodPost, "/v1/tokens", body, &o); err != nil {
		if to != nil {
			os.Remove(file)
		}
		return err
	}
	if to == nil {
		return s.print(tokenList, []object{o}, true)
	}
	if _, err := fmt.Fprintln(to, o["secret"]); err != nil {
		return fmt.Errorf("write secret file: %w; revoke the token with `sluice token delete %v`", err, o["uuid"])
	}
	delete(o, "secret")
	return s.print(tokenList, []object{o}, true)
}

func (s *session) deleteTokenCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete UUID...", Short: "revoke tokens, and those made with them, at once", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.open(cmd); err != nil {
				return err
			}
			for _, id := range args {
				if err := v1.ValidateUUID(strings.ToLower(id)); err != nil {
					return usagef("%s: %w; see `sluice token list`", cmd.CommandPath(), err)
				}
				path := "/v1/tokens/" + strings.ToLower(id)
				if s.dryRun {
					if err := s.preview(cmd.Context(), http.MethodDelete, path, nil); err != nil {
						return err
					}
					continue
				}
				if err := s.api.Do(cmd.Context(), http.MethodDelete, path, nil, nil); err != nil {
					return err
				}
				fmt.Fprintf(s.out, "- token %s\n", id)
			}
			return nil
		},
	}
}

func (s *session) listQuotaCommand() *cobra.Command {
	var account string
	cmd := s.itemsCommand(quotaList, "list what accounts may own, and what they do", func(cmd *cobra.Command) (url.Values, error) {
		if account == "" {
			return nil, nil
		}
		id, err := s.resolve(cmd.Context(), nounByName("account"), account)
		return url.Values{"accountUuid": {id}}, err
	})
	cmd.Flags().StringVar(&account, "account", "", "only this account's")
	return cmd
}

func (s *session) setQuotaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "set ACCOUNT KIND=NUMBER...", Short: "change what an account may own; KIND=default is the default again", Args: cobra.MinimumNArgs(2),
		Example: "  sluice quota set red vips=50 eips=default", ValidArgsFunction: s.names(nounByName("account")),
		RunE: func(cmd *cobra.Command, args []string) error {
			quotas := object{}
			for _, arg := range args[1:] {
				kind, text, _ := strings.Cut(arg, "=")
				number, err := strconv.Atoi(text)
				if err != nil && text != "default" {
					return usagef("%s: %q: want KIND=NUMBER or KIND=default", cmd.CommandPath(), arg)
				}
				if quotas[kind] = number; text == "default" {
					quotas[kind] = nil
				}
			}
			if err := s.open(cmd); err != nil {
				return err
			}
			id, err := s.resolve(cmd.Context(), nounByName("account"), args[0])
			if err != nil {
				return err
			}
			body := object{"accountUuid": id, "quotas": quotas}
			if s.dryRun {
				return s.preview(cmd.Context(), http.MethodPatch, "/v1/quotas", body)
			}
			var got struct {
				Items []object `json:"items"`
			}
			if err := s.api.Do(cmd.Context(), http.MethodPatch, "/v1/quotas", body, &got); err != nil {
				return err
			}
			return s.print(quotaList, got.Items, false)
		},
	}
}

// shareCommand says which accounts may use a network.
func (s *session) shareCommand(n *noun) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "share NAME|UUID [ACCOUNT...]", Short: "set which accounts may use it besides its owner; none takes it from all", Args: cobra.MinimumNArgs(1), ValidArgsFunction: s.names(n, nounByName("account")),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all && len(args) > 1 {
				return usagef("%s: give accounts or --all, not both", cmd.CommandPath())
			}
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			with := []string{}
			if all {
				with = []string{v1.Everybody}
			}
			for _, name := range args[1:] {
				id, err := s.resolve(cmd.Context(), nounByName("account"), name)
				if err != nil {
					return err
				}
				with = append(with, id)
			}
			return s.call(cmd, n, http.MethodPut, path+"/shared-with", object{"accountUuids": with})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "with every account")
	return cmd
}
