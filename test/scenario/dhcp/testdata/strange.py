"""Sends what no client sends, one line of standard input each, and prints what
comes back: type, yiaddr, where Ethernet and IP brought it, and option 82."""
import json, logging, sys
logging.getLogger("scapy.runtime").setLevel(logging.ERROR)
from scapy.all import BOOTP, DHCP, IP, UDP, Ether, conf, raw, AsyncSniffer, sendp
import time

conf.verb = 0
TYPES = {1: "discover", 2: "offer", 3: "request", 4: "decline", 5: "ack", 6: "nak", 7: "release", 8: "inform"}


def send(case, xid):
    options = [("message-type", case["type"])]
    for name in ("requested_addr", "server_id"):
        if name in case:
            options.append((name, case[name]))
    if case.get("param"):
        options.append(("param_req_list", case["param"]))
    if case.get("option82"):
        options.append((82, bytes.fromhex(case["option82"])))
    mac = bytes.fromhex(case["mac"].replace(":", ""))
    return (
        Ether(src=case.get("src", case["mac"]), dst=case.get("to", "ff:ff:ff:ff:ff:ff"))
        / IP(src=case.get("ciaddr", "0.0.0.0"), dst=case.get("dst", "255.255.255.255"))
        / UDP(sport=68, dport=67)
        / BOOTP(chaddr=mac, xid=xid, ciaddr=case.get("ciaddr", "0.0.0.0"), giaddr=case.get("giaddr", "0.0.0.0"), flags=0x8000 if case.get("broadcast") else 0)
        / DHCP(options=options + ["end"])
    )


def ask(case, xid):
    mine = lambda p: BOOTP in p and p[BOOTP].op == 2 and p[BOOTP].xid == xid
    sniffer = AsyncSniffer(iface="eth0", lfilter=mine, count=1, timeout=case.get("wait", 2))
    sniffer.start()
    time.sleep(0.05)
    sendp(send(case, xid), iface="eth0")
    sniffer.join()
    if not sniffer.results:
        return "silence"
    p = sniffer.results[0]
    options = {o[0]: o[1] for o in p[DHCP].options if isinstance(o, tuple)}
    answer = "%s yiaddr=%s ether=%s ip=%s" % (TYPES[options["message-type"]], p[BOOTP].yiaddr, p[Ether].dst, p[IP].dst)
    for name in case.get("show", []):
        value = options.get(name, options.get(int(name)) if name.isdigit() else None)
        answer += " %s=%s" % (name, value.hex() if isinstance(value, bytes) else value)
    return answer


for n, line in enumerate(sys.stdin):
    print(ask(json.loads(line), 7000 + n), flush=True)
