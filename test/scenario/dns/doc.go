// Package dns tells stories about the router's DNS server as guests live them:
// the real server in a network namespace of its own, the resolvers of Debian
// (dig, kdig, host, the C library) in a guest's, and an upstream in a third.
package dns
