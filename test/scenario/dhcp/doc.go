// Package dhcp holds scenarios of the router's DHCP server with the clients
// that people run: each in a network namespace of its own, on one bridge, with
// the server as a process of its own on the other side. What a client wrote
// down is compared with what the spec says. All namespaces are called
// sl-dhcp-<pid>-* and go with the test.
package dhcp
