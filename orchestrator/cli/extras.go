package cli

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

// extras are the verbs that only one noun has.
func (s *session) extras(n *noun) []*cobra.Command {
	switch n.name {
	case "l2-network":
		return []*cobra.Command{s.clusterCommand(n, "attach", http.MethodPost), s.clusterCommand(n, "detach", http.MethodDelete)}
	case "l3-network":
		return []*cobra.Command{s.addRangeCommand(n), s.setDNSCommand(n), s.servicesCommand(n, "attach-services", http.MethodPost), s.servicesCommand(n, "detach-services", http.MethodDelete), s.subCommand(n, "capacity")}
	case "eip", "port-forwarding-rule":
		return []*cobra.Command{s.attachNicCommand(n), s.detachNicCommand(n)}
	case "virtual-router":
		return []*cobra.Command{s.subCommand(n, "spec"), s.subCommand(n, "status")}
	case "vm-instance":
		return []*cobra.Command{s.xmlCommand(n)}
	}
	return nil
}

func (s *session) clusterCommand(n *noun, verb, method string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " L2 CLUSTER", Short: verb + " it to or from the hosts of a cluster", Args: cobra.ExactArgs(2),
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
		Use: "add-ip-range L3 NAME", Short: "add addresses: --cidr, or --start, --end, --netmask and --gateway", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			body := object{"name": args[1]}
			for key, value := range map[string]string{"networkCidr": cidr, "gateway": gateway, "startIp": start, "endIp": end, "netmask": mask} {
				put(body, key, value)
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

func (s *session) setDNSCommand(n *noun) *cobra.Command {
	return &cobra.Command{
		Use: "set-dns L3 [SERVER...]", Short: "name servers, in order", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			return s.call(cmd, n, http.MethodPut, path+"/dns", object{"dns": args[1:]})
		},
	}
}

func (s *session) servicesCommand(n *noun, verb, method string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " L3 SERVICE...", Short: "services of the virtual router: dhcp, dns, snat, eip, portforwarding", Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			types, err := serviceTypes(args[1:])
			if err != nil {
				return err
			}
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			return s.call(cmd, n, method, path+"/network-services", object{"networkServices": object{"VirtualRouter": types}})
		},
	}
}

func (s *session) attachNicCommand(n *noun) *cobra.Command {
	return &cobra.Command{
		Use: "attach NAME|UUID VM|NIC", Short: "point it at a VM's default nic, or at a nic", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			nic, err := s.resolve(cmd.Context(), nounByName("vm-nic"), args[1])
			if err != nil {
				return err
			}
			return s.call(cmd, n, http.MethodPost, path+"/vm-nics/"+nic, nil)
		},
	}
}

func (s *session) detachNicCommand(n *noun) *cobra.Command {
	return &cobra.Command{
		Use: "detach NAME|UUID", Short: "point it at nothing", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			return s.call(cmd, n, http.MethodDelete, path+"/vm-nics", nil)
		},
	}
}

// subCommand shows what stands below an object's path, always in full.
func (s *session) subCommand(n *noun, what string) *cobra.Command {
	return &cobra.Command{
		Use: what + " NAME|UUID", Short: "show its " + what, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := s.pathOf(cmd, n, args[0])
			if err != nil {
				return err
			}
			if s.output == "table" {
				s.output = "yaml"
			}
			return s.call(cmd, n, http.MethodGet, path+"/"+what, nil)
		},
	}
}

func (s *session) xmlCommand(n *noun) *cobra.Command {
	return &cobra.Command{
		Use: "libvirt-xml NAME|UUID", Short: "<interface> elements for virsh attach-device or virt-install", Args: cobra.ExactArgs(1),
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
