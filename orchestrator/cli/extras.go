package cli

import (
	"fmt"
	"net/http"
	"os"
	"strconv"

	"github.com/spf13/cobra"
)

// extras are the verbs that only one noun has.
func (s *session) extras(n *noun) []*cobra.Command {
	switch n.name {
	case "l2-network":
		return []*cobra.Command{s.clusterCommand(n, "attach", http.MethodPost), s.clusterCommand(n, "detach", http.MethodDelete), s.shareCommand(n)}
	case "l3-network":
		return append(s.l3Settings(n), s.shareCommand(n),
			s.addRangeCommand(n), s.servicesCommand(n, "attach-services", http.MethodPost), s.servicesCommand(n, "detach-services", http.MethodDelete),
			s.subCommand(n, "capacity", "count its addresses"), s.subCommand(n, "free-ips", "show its lowest free addresses"))
	case "eip", "port-forwarding-rule":
		return []*cobra.Command{s.attachNicCommand(n), s.detachNicCommand(n), s.subCommand(n, "candidate-vm-nics", "show the nics that it could point at")}
	case "virtual-router":
		return []*cobra.Command{
			s.explainCommand(n), s.subCommand(n, "spec", "show what is wanted of it"), s.subCommand(n, "status", "show what its agent says now"),
			s.subCommand(n, "diagnostics", "show its rules, mappings, routes and neighbours"), s.consoleCommand(n), s.logsCommand(n),
		}
	case "vm-instance":
		return []*cobra.Command{s.addNicCommand(n), s.xmlCommand(n)}
	case "vm-nic":
		return []*cobra.Command{s.setRoutesCommand(n), s.setting(n, "set-ip VM|NIC ADDRESS", "give it another address; EIPs and rules follow", cobra.ExactArgs(2), "/ip",
			func(args []string) (object, error) { return object{"ip": args[0]}, nil })}
	}
	return nil
}

// setting is a command that puts one thing below an object's path, made of the
// arguments behind the name.
func (s *session) setting(n *noun, use, short string, args cobra.PositionalArgs, below string, body func([]string) (object, error)) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: args, ValidArgsFunction: s.names(n),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := body(args[1:])
			if err != nil {
				return usagef("%s: %w", cmd.CommandPath(), err)
			}
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			return s.call(cmd, n, http.MethodPut, path+below, b)
		},
	}
}

// dnsTLS is the body of a change of who the name servers have to prove to be.
func dnsTLS(args []string) (object, error) {
	body := object{}
	if len(args) > 0 {
		body["dnsTlsName"] = args[0]
	}
	if len(args) > 1 {
		ca, err := os.ReadFile(args[1])
		if err != nil {
			return nil, fmt.Errorf("read certificates that vouch for %s: %w", args[0], err)
		}
		body["dnsTlsCa"] = string(ca)
	}
	return body, nil
}

func (s *session) l3Settings(n *noun) []*cobra.Command {
	return append([]*cobra.Command{
		s.setting(n, "set-dns L3 [SERVER...]", "set the name servers, in order", cobra.MinimumNArgs(1), "/dns",
			func(args []string) (object, error) { return object{"dns": args}, nil }),
		s.setting(n, "set-dns-tls L3 [NAME [CA-FILE]]", "ask the name servers over TLS only, as NAME; without NAME plainly", cobra.RangeArgs(1, 3), "/dns-tls", dnsTLS),
		s.setting(n, "set-mtu L3 BYTES", "set the MTU of the guests", cobra.ExactArgs(2), "/mtu",
			func(args []string) (object, error) {
				mtu, err := strconv.Atoi(args[0])
				if err != nil {
					return nil, fmt.Errorf("%q: want a number of bytes", args[0])
				}
				return object{"mtu": mtu}, nil
			}),
		s.setting(n, "set-router-interface-ip L3 ADDRESS", "fix the router's address on it", cobra.ExactArgs(2), "/router-interface-ip",
			func(args []string) (object, error) { return object{"routerInterfaceIp": args[0]}, nil }),
		s.setting(n, "set-allocation-strategy L3 STRATEGY", "choose free addresses by FirstAvailable, Random or AscDelayRecycle", cobra.ExactArgs(2), "/allocation-strategy",
			func(args []string) (object, error) { return object{"allocationStrategy": args[0]}, nil }),
	}, s.wholeSettingCommands(n)...)
}

func (s *session) clusterCommand(n *noun, verb, method string) *cobra.Command {
	short := map[string]string{"attach": "make it on the hosts of a cluster", "detach": "take it off the hosts of a cluster"}[verb]
	return &cobra.Command{
		Use: verb + " L2 CLUSTER", Short: short, Args: cobra.ExactArgs(2), ValidArgsFunction: s.names(n, nounByName("cluster")),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			cluster, err := s.resolve(cmd.Context(), nounByName("cluster"), args[1])
			if err != nil {
				return err
			}
			return s.call(cmd, n, method, path+"/clusters/"+cluster, nil)
		},
	}
}

func (s *session) addRangeCommand(n *noun) *cobra.Command {
	var cidr, gateway, start, end, mask string
	cmd := &cobra.Command{
		Use: "add-ip-range L3 NAME", Short: "add addresses: --cidr, or --start, --end, --netmask and --gateway", Args: cobra.ExactArgs(2), ValidArgsFunction: s.names(n),
		Example: "  sluice l3-network add-ip-range guest low --cidr 192.168.10.0/24",
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			body := object{"name": args[1]}
			for key, value := range map[string]string{"networkCidr": cidr, "gateway": gateway, "startIp": start, "endIp": end, "netmask": mask} {
				put(body, key, value)
			}
			if s.dryRun {
				return s.preview(cmd.Context(), http.MethodPost, path+"/ip-ranges", body)
			}
			var got struct {
				Items []object `json:"items"`
			}
			if err := s.api.Do(cmd.Context(), http.MethodPost, path+"/ip-ranges", body, &got); err != nil {
				return err
			}
			return s.print(nounByName("ip-range"), got.Items, false)
		},
	}
	f := cmd.Flags()
	f.StringVar(&cidr, "cidr", "", "whole network")
	f.StringVar(&gateway, "gateway", "", "gateway")
	f.StringVar(&start, "start", "", "first address")
	f.StringVar(&end, "end", "", "last address")
	f.StringVar(&mask, "netmask", "", "mask, such as 255.255.255.0")
	return cmd
}

func (s *session) servicesCommand(n *noun, verb, method string) *cobra.Command {
	var cascade bool
	cmd := &cobra.Command{
		Use: verb + " L3 SERVICE...", Short: "services of the virtual router: dhcp, dns, snat, eip, portforwarding", Args: cobra.MinimumNArgs(2), ValidArgsFunction: s.names(n),
		RunE: func(cmd *cobra.Command, args []string) error {
			types, err := serviceTypes(args[1:])
			if err != nil {
				return usagef("%s: %w", cmd.CommandPath(), err)
			}
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			path += "/network-services"
			if cascade {
				path += "?cascade=true"
			}
			return s.call(cmd, n, method, path, object{"networkServices": object{"VirtualRouter": types}})
		},
	}
	if method == http.MethodDelete {
		cmd.Flags().BoolVar(&cascade, "cascade", false, "delete the EIPs and rules that use the services first")
	}
	return cmd
}

func (s *session) attachNicCommand(n *noun) *cobra.Command {
	return &cobra.Command{
		Use: "attach NAME|UUID VM|NIC", Short: "point it at a VM's default nic, or at a nic", Args: cobra.ExactArgs(2), ValidArgsFunction: s.names(n, nounByName("vm-instance")),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			nic, err := s.resolve(cmd.Context(), nounByName("vm-nic"), args[1])
			if err != nil {
				return err
			}
			return s.call(cmd, n, http.MethodPost, path+"/vm-nics/"+nic+n.settled(), nil)
		},
	}
}

func (s *session) addNicCommand(n *noun) *cobra.Command {
	return &cobra.Command{
		Use: "add-nic VM L3|l3=NAME,ip=ADDRESS,mac=MAC", Short: "give it another nic; `vm-nic delete` takes one away", Args: cobra.ExactArgs(2), ValidArgsFunction: s.names(n, nounByName("l3-network")),
		Example: "  sluice vm-instance add-nic web guest\n  sluice vm-instance add-nic web l3=guest,ip=192.168.10.50",
		RunE: func(cmd *cobra.Command, args []string) error {
			words, err := parseNic(args[1])
			if err != nil {
				return usagef("%s: %w", cmd.CommandPath(), err)
			}
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			l3, err := s.resolve(cmd.Context(), nounByName("l3-network"), words["l3"])
			if err != nil {
				return err
			}
			body := object{"l3NetworkUuid": l3}
			put(body, "ip", words["ip"])
			put(body, "mac", words["mac"])
			if routes, _ := nicRoutes(words); len(routes) > 0 { // were read before
				body["staticRoutes"] = routes
			}
			return s.call(cmd, n, http.MethodPost, path+"/nics", body)
		},
	}
}

func (s *session) detachNicCommand(n *noun) *cobra.Command {
	return &cobra.Command{
		Use: "detach NAME|UUID", Short: "point it at nothing", Args: cobra.ExactArgs(1), ValidArgsFunction: s.names(n),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			return s.call(cmd, n, http.MethodDelete, path+"/vm-nics"+n.settled(), nil)
		},
	}
}

// subCommand shows what stands below an object's path, always in full.
func (s *session) subCommand(n *noun, what, short string) *cobra.Command {
	return &cobra.Command{
		Use: what + " NAME|UUID", Short: short, Args: cobra.ExactArgs(1), ValidArgsFunction: s.names(n),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			var v any
			if err := s.api.Do(cmd.Context(), http.MethodGet, path+"/"+what, nil, &v); err != nil {
				return err
			}
			if s.output != "json" {
				s.output = "yaml"
			}
			return s.printValue(v)
		},
	}
}

func (s *session) xmlCommand(n *noun) *cobra.Command {
	return &cobra.Command{
		Use: "libvirt-xml NAME|UUID", Short: "<interface> elements for virsh attach-device or virt-install", Args: cobra.ExactArgs(1), ValidArgsFunction: s.names(n),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			var xml []byte
			if err := s.api.Do(cmd.Context(), http.MethodGet, path+"/libvirt-xml", nil, &xml); err != nil {
				return err
			}
			_, err = fmt.Fprintln(s.out, string(xml))
			return err
		},
	}
}
