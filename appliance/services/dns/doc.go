// Package dns is the router's own DNS server: for each guest network it
// answers the network's names and reverse zone itself, and asks the network's
// upstreams about the rest, through a bounded cache.
//
// A packet takes one of three ways. Local names and cached answers are put
// together by the socket's own goroutine out of prepared bytes, without
// allocating; everything else becomes a flight: one upstream exchange a
// question, however many guests wait for it. What a network serves is one
// immutable table behind an atomic pointer, so that applying a new spec never
// stops the packet loop. The third-party codec is seen by codec.go alone.
package dns
