package containerd

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// A network that leads outside has a table of rules in the kernel (nf_tables), which bears
// the name of its bridge and says all there is to say of it:
//
//	table ip hf0123456789 {
//		chain input   { type filter hook input priority filter; iifname "hf0123456789" drop }
//		chain forward { type filter hook forward priority filter
//			iifname "hf0123456789" oifname "hf0123456789" accept
//			iifname "hf0123456789" ip saddr != 10.200.7.0/24 drop
//			oifname "hf0123456789" ct state established,related accept
//			oifname "hf0123456789" drop }
//		chain outward { type nat hook postrouting priority srcnat
//			oifname != "hf0123456789" ip saddr 10.200.7.0/24 masquerade }
//	}
//
// So instances reach what the node reaches, but not the node, and nobody reaches them. The
// table comes and goes as a whole, and with it every trace.

// rule is a list of expressions; all that come before a verdict have to hold.
type rule [][]byte

// chain is where rules are asked.
type chain struct {
	name, kind     string
	hook, priority int
	rules          []rule
}

// rulesOf is the table of a network.
func rulesOf(bridge string, subnet netip.Prefix) []chain {
	from, to := name(unix.NFT_META_IIFNAME, unix.NFT_CMP_EQ, bridge), name(unix.NFT_META_OIFNAME, unix.NFT_CMP_EQ, bridge)
	elsewhere := name(unix.NFT_META_OIFNAME, unix.NFT_CMP_NEQ, bridge)
	const filter, sourceTranslation = 0, 100
	return []chain{
		{"input", "filter", unix.NF_INET_LOCAL_IN, filter, []rule{join(from, decide(drop))}},
		{"forward", "filter", unix.NF_INET_FORWARD, filter, []rule{
			join(from, to, decide(accept)), // as bridged packets are seen, where the kernel shows them
			join(from, source(unix.NFT_CMP_NEQ, subnet), decide(drop)),
			join(to, answers(), decide(accept)),
			join(to, decide(drop)),
		}},
		{"outward", "nat", unix.NF_INET_POST_ROUTING, sourceTranslation, []rule{join(elsewhere, source(unix.NFT_CMP_EQ, subnet), masquerade())}},
	}
}

func join(parts ...rule) (all rule) {
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

func expression(name string, attributes ...[]byte) []byte {
	return group(unix.NFTA_LIST_ELEM, text(unix.NFTA_EXPR_NAME, name), group(unix.NFTA_EXPR_DATA, attributes...))
}

// compare holds the register against bytes.
func compare(how uint32, with []byte) []byte {
	return expression("cmp", attribute(unix.NFTA_CMP_SREG, network32(unix.NFT_REG_1)), attribute(unix.NFTA_CMP_OP, network32(how)),
		group(unix.NFTA_CMP_DATA, attribute(unix.NFTA_DATA_VALUE, with)))
}

// name holds the name of an interface against another.
func name(which, how uint32, device string) rule {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, device)
	return rule{
		expression("meta", attribute(unix.NFTA_META_DREG, network32(unix.NFT_REG_1)), attribute(unix.NFTA_META_KEY, network32(which))),
		compare(how, padded),
	}
}

// source holds where a packet comes from against a subnet of whole bytes.
func source(how uint32, subnet netip.Prefix) rule {
	const sourceAt = 12 // in the header of IPv4
	size := subnet.Bits() / 8
	return rule{
		expression("payload", attribute(unix.NFTA_PAYLOAD_DREG, network32(unix.NFT_REG_1)),
			attribute(unix.NFTA_PAYLOAD_BASE, network32(unix.NFT_PAYLOAD_NETWORK_HEADER)),
			attribute(unix.NFTA_PAYLOAD_OFFSET, network32(sourceAt)), attribute(unix.NFTA_PAYLOAD_LEN, network32(uint32(size)))),
		compare(how, subnet.Addr().AsSlice()[:size]),
	}
}

// answers are packets of what was begun from the other side.
func answers() rule {
	const established, related = 1 << 1, 1 << 2
	return rule{
		expression("ct", attribute(unix.NFTA_CT_DREG, network32(unix.NFT_REG_1)), attribute(unix.NFTA_CT_KEY, network32(unix.NFT_CT_STATE))),
		expression("bitwise", attribute(unix.NFTA_BITWISE_SREG, network32(unix.NFT_REG_1)), attribute(unix.NFTA_BITWISE_DREG, network32(unix.NFT_REG_1)),
			attribute(unix.NFTA_BITWISE_LEN, network32(4)),
			group(unix.NFTA_BITWISE_MASK, attribute(unix.NFTA_DATA_VALUE, native32(established|related))),
			group(unix.NFTA_BITWISE_XOR, attribute(unix.NFTA_DATA_VALUE, native32(0)))),
		compare(unix.NFT_CMP_NEQ, native32(0)),
	}
}

// What becomes of a packet, as the kernel numbers it.
const (
	drop   = 0
	accept = 1
)

func decide(code uint32) rule {
	return rule{expression("immediate", attribute(unix.NFTA_IMMEDIATE_DREG, network32(unix.NFT_REG_VERDICT)),
		group(unix.NFTA_IMMEDIATE_DATA, group(unix.NFTA_DATA_VERDICT, attribute(unix.NFTA_VERDICT_CODE, network32(code)))))}
}

// masquerade makes the node the sender.
func masquerade() rule { return rule{expression("masq")} }

// aboutRules is a message to nf_tables, of IPv4.
func aboutRules(kind, flags uint16, attributes ...[]byte) message {
	const family = unix.NFPROTO_IPV4
	return message{unix.NFNL_SUBSYS_NFTABLES<<8 | kind, flags | unix.NLM_F_ACK, append([]byte{family, unix.NFNETLINK_V0, 0, 0}, bytes.Join(attributes, nil)...)}
}

// atOnce makes messages one step, which happens whole or not at all.
func atOnce(messages []message) error {
	border := func(kind uint16) message {
		return message{kind, 0, []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES}}
	}
	all := append([]message{border(unix.NFNL_MSG_BATCH_BEGIN)}, messages...)
	return converse(unix.NETLINK_NETFILTER, append(all, border(unix.NFNL_MSG_BATCH_END)), acknowledged(len(messages)))
}

// withoutRules is what takes a table away, whether or not it is there.
func withoutRules(table string) []message {
	name := text(unix.NFTA_TABLE_NAME, table)
	return []message{
		aboutRules(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, name),
		aboutRules(unix.NFT_MSG_DELTABLE, 0, name),
	}
}

// putRules makes the table of a network what it is to be.
func putRules(bridge string, subnet netip.Prefix) error {
	messages := append(withoutRules(bridge), aboutRules(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, text(unix.NFTA_TABLE_NAME, bridge)))
	for _, c := range rulesOf(bridge, subnet) {
		messages = append(messages, aboutRules(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE,
			text(unix.NFTA_CHAIN_TABLE, bridge), text(unix.NFTA_CHAIN_NAME, c.name), text(unix.NFTA_CHAIN_TYPE, c.kind),
			group(unix.NFTA_CHAIN_HOOK, attribute(unix.NFTA_HOOK_HOOKNUM, network32(uint32(c.hook))), attribute(unix.NFTA_HOOK_PRIORITY, network32(uint32(c.priority))))))
		for _, r := range c.rules {
			messages = append(messages, aboutRules(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND,
				text(unix.NFTA_RULE_TABLE, bridge), text(unix.NFTA_RULE_CHAIN, c.name), group(unix.NFTA_RULE_EXPRESSIONS, r...)))
		}
	}
	if err := atOnce(messages); err != nil {
		return fmt.Errorf("cannot make rules of network: %w", err)
	}
	return nil
}

// dropRules takes the table of a network away.
func dropRules(bridge string) error {
	if err := atOnce(withoutRules(bridge)); err != nil && !errors.Is(err, unix.EPROTONOSUPPORT) {
		return fmt.Errorf("cannot remove rules of network: %w", err)
	}
	return nil
}

// tables lists those of IPv4. What another changes meanwhile is listed or not.
func tables() (names []string, err error) {
	list := aboutRules(unix.NFT_MSG_GETTABLE, unix.NLM_F_DUMP)
	list.flags &^= unix.NLM_F_ACK
	err = converse(unix.NETLINK_NETFILTER, []message{list}, func(kind uint16, body []byte) (bool, error) {
		const header = 4
		if kind == unix.NLMSG_DONE || kind == unix.NLMSG_ERROR {
			return true, nil
		}
		if len(body) > header {
			names = append(names, strings.TrimRight(string(attributesOf(body[header:])[unix.NFTA_TABLE_NAME]), "\x00"))
		}
		return false, nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list rules of networks: %w", err)
	}
	return names, nil
}
