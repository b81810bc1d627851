//! Addresses that somebody might write down, and every edge of every network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::{AddressPolicy, BadNetwork, BadUrl, LONGEST_URL};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn allowing(text: &str) -> AddressPolicy {
    AddressPolicy::parse(text, false).unwrap()
}

/// What becomes of an address: `Ok` with what is called, or the kind of refusal.
fn judged<'a>(policy: &AddressPolicy, text: &str, shown: &'a mut String) -> Result<&'a str, &'static str> {
    match policy.check(text) {
        Ok(url) => {
            *shown = url.to_string();
            Ok(shown)
        }
        Err(BadUrl::TooLong) => Err("long"),
        Err(BadUrl::Unreadable) => Err("unreadable"),
        Err(BadUrl::NotHttps) => Err("plain"),
        Err(BadUrl::NoHost) => Err("no host"),
        Err(BadUrl::WithUser) => Err("user"),
        Err(BadUrl::WithFragment) => Err("fragment"),
        Err(BadUrl::Forbidden(_)) => Err("forbidden"),
    }
}

fn table(policy: &AddressPolicy, rows: &[(&str, Result<&str, &'static str>)]) {
    for (text, expected) in rows {
        let mut shown = String::new();
        assert_eq!(judged(policy, text, &mut shown), *expected, "{text:?}");
    }
}

#[test]
fn what_may_be_called() {
    let same = |text: &'static str| (text, Ok(text));
    table(
        &AddressPolicy::default(),
        &[
            same("https://example.com/"),
            same("https://example.com/hooks?token=a%20b&c"),
            same("https://example.com:8443/hooks"),
            same("https://hooks.example.co.uk./x"),
            same("https://8.8.8.8/"),
            same("https://[2606:4700::1111]/"),
            same("https://localhost.example.com/"),
            same("https://notlocalhost/"),
            same("https://127.0.0.1.nip.io/"),
            same("https://172.15.255.255/"),
            same("https://172.32.0.0/"),
            same("https://100.63.255.255/"),
            same("https://100.128.0.0/"),
            same("https://192.0.1.0/"),
            same("https://198.20.0.0/"),
            same("https://223.255.255.255/"),
            same("https://[2001:200::]/"),
            same("https://[2003::1]/"),
            ("HTTPS://EXAMPLE.com:443", Ok("https://example.com/")),
            ("https://example.com/a/../b", Ok("https://example.com/b")),
            ("https:example.com", Ok("https://example.com/")),
            ("https:///example.com", Ok("https://example.com/")),
            ("https://@example.com/", Ok("https://example.com/")),
            ("https://exämple.com/", Ok("https://xn--exmple-cua.com/")),
            ("https://ｅｘａｍｐｌｅ.com/", Ok("https://example.com/")),
            ("https://0x8.8.8.8/", Ok("https://8.8.8.8/")),
            ("https://134744072/", Ok("https://8.8.8.8/")),
            ("https://[::ffff:8.8.8.8]/", Ok("https://[::ffff:808:808]/")),
            ("https://[64:ff9b::8.8.8.8]/", Ok("https://[64:ff9b::808:808]/")),
        ],
    );
}

#[test]
fn what_leads_inside() {
    let rows = [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "0x7f.1",
        "0x7f.0x0.0x0.0x1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "127.255.255.255",
        "①②⑦.0.0.1",
        "127。0。0。1",
        "%31%32%37.0.0.1",
        "0",
        "0.0.0.0",
        "0.0.0.1",
        "10.0.0.1",
        "10.255.255.255",
        "0xa.1",
        "167772161",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "192.168.255.255",
        "169.254.169.254",
        "0xa9fea9fe",
        "2852039166",
        "0251.0376.0251.0376",
        "169.254.43518",
        "100.64.0.1",
        "100.127.255.255",
        "100.100.100.200",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "4294967295",
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:10.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[::ffff:0:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b::10.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::8.8.8.8]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[100::1]",
        "[2001::1]",
        "[2001:1ff:ffff::1]",
        "[2001:db8::1]",
        "[2002:7f00:1::]",
        "[2002:808:808::]",
        "[3fff::1]",
        "[5f00::1]",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "ｌｏｃａｌｈｏｓｔ",
        "local\u{ad}host",
    ];
    assert!(rows.len() > 70);
    for host in rows {
        for text in [
            format!("https://{host}/"),
            format!("https://{host}:8443/x?y"),
            format!("http://{host}"),
        ] {
            let result = AddressPolicy::default().check(&text);
            assert!(matches!(result, Err(BadUrl::Forbidden(_))), "{text}: {result:?}");
            let plain = AddressPolicy {
                plain_http: true,
                ..AddressPolicy::default()
            };
            assert!(matches!(plain.check(&text), Err(BadUrl::Forbidden(_))), "{text}");
        }
    }
}

#[test]
fn what_is_no_address() {
    let long = format!("https://example.com/{}", "a".repeat(LONGEST_URL));
    table(
        &AddressPolicy::default(),
        &[
            ("", Err("unreadable")),
            ("example.com", Err("unreadable")),
            ("//example.com", Err("unreadable")),
            ("/hooks", Err("unreadable")),
            ("https://", Err("no host")),
            ("https://?x", Err("no host")),
            ("https://exa mple.com/", Err("unreadable")),
            (" https://example.com/", Err("unreadable")),
            ("https://example.com/\n", Err("unreadable")),
            ("https://exam\tple.com/", Err("unreadable")),
            ("https://example.com\\@127.0.0.1/", Err("unreadable")),
            ("https:\\\\example.com", Err("unreadable")),
            ("https://example.com/\0", Err("unreadable")),
            ("https://256.256.256.256/", Err("unreadable")),
            ("https://1.2.3.4.5/", Err("unreadable")),
            ("https://0x100000000/", Err("unreadable")),
            ("https://[::1/", Err("unreadable")),
            ("https://[fe80::1%25eth0]/", Err("unreadable")),
            ("https://example.com:99999/", Err("unreadable")),
            ("https://exa%00mple.com/", Err("unreadable")),
            ("https://a@example.com/", Err("user")),
            ("https://a:b@example.com/", Err("user")),
            ("https://:b@example.com/", Err("user")),
            ("https://example.com@8.8.8.8/", Err("user")),
            ("https://example.com/#", Err("fragment")),
            ("https://example.com/#a", Err("fragment")),
            ("https://example.com#@8.8.8.8/", Err("fragment")),
            ("http://example.com/", Err("plain")),
            ("http://8.8.8.8/", Err("plain")),
            ("ftp://example.com/", Err("plain")),
            ("file:///etc/passwd", Err("plain")),
            ("gopher://127.0.0.1:6379/_x", Err("plain")),
            ("javascript:alert(1)", Err("plain")),
            ("data:text/plain,x", Err("plain")),
            ("unix:/var/run/docker.sock", Err("plain")),
            (&long, Err("long")),
        ],
    );
}

#[test]
fn the_longest_address() {
    let of = |characters: usize| {
        let begin = "https://example.com/";
        format!("{begin}{}", "ä".repeat(characters - begin.len()))
    };
    let policy = AddressPolicy::default();
    assert!(policy.check(&of(LONGEST_URL)).is_ok());
    assert_eq!(policy.check(&of(LONGEST_URL + 1)), Err(BadUrl::TooLong));
}

#[test]
fn what_an_operator_allows() {
    table(
        &allowing("127.0.0.0/8, ::1,10.1.2.3 , fd00::/8"),
        &[
            ("http://127.0.0.1:8080/x", Ok("http://127.0.0.1:8080/x")),
            ("http://[::1]:8080/x", Ok("http://[::1]:8080/x")),
            ("http://[::ffff:127.0.0.1]/", Ok("http://[::ffff:7f00:1]/")),
            ("http://localhost:8080/", Ok("http://localhost:8080/")),
            ("https://localhost/", Ok("https://localhost/")),
            ("https://10.1.2.3/", Ok("https://10.1.2.3/")),
            ("https://10.1.2.4/", Err("forbidden")),
            ("http://[fd12::1]/", Ok("http://[fd12::1]/")),
            ("http://example.com/", Err("plain")),
            ("http://8.8.8.8/", Err("plain")),
            ("http://169.254.169.254/", Err("forbidden")),
        ],
    );
    table(
        &allowing("10.0.0.0/8"),
        &[("https://localhost/", Err("forbidden"))],
    );
    let plain = AddressPolicy::parse("", true).unwrap();
    table(
        &plain,
        &[
            ("http://example.com/", Ok("http://example.com/")),
            ("http://8.8.8.8/", Ok("http://8.8.8.8/")),
            ("http://127.0.0.1/", Err("forbidden")),
            ("ftp://example.com/", Err("plain")),
        ],
    );
}

#[test]
fn a_list_of_networks() {
    assert_eq!(AddressPolicy::parse("", false), Ok(AddressPolicy::default()));
    assert_eq!(AddressPolicy::parse(" , ,", false), Ok(AddressPolicy::default()));
    assert_eq!(allowing("10.0.0.0/8,::1").allow.len(), 2);
    for text in [
        "10.0.0.0/33",
        "10.0.0",
        "localhost",
        "10.0.0.0/8 ::1",
        "x",
        "10.0.0.0-10.1.0.0",
        "::/129",
    ] {
        let result = AddressPolicy::parse(text, false);
        assert_eq!(result, Err(BadNetwork::Unreadable(text.to_owned())), "{text}");
    }
    let inexact = AddressPolicy::parse("10.1.2.3/8", false).unwrap_err();
    assert_eq!(
        inexact.to_string(),
        "\"10.1.2.3/8\" is an address within a network: write \"10.0.0.0/8\" for all of the network"
    );
}

/// The networks as the registers write them: first and last address.
const CLOSED: [(&str, &str); 24] = [
    ("0.0.0.0", "0.255.255.255"),
    ("10.0.0.0", "10.255.255.255"),
    ("100.64.0.0", "100.127.255.255"),
    ("127.0.0.0", "127.255.255.255"),
    ("169.254.0.0", "169.254.255.255"),
    ("172.16.0.0", "172.31.255.255"),
    ("192.0.0.0", "192.0.0.255"),
    ("192.0.2.0", "192.0.2.255"),
    ("192.88.99.0", "192.88.99.255"),
    ("192.168.0.0", "192.168.255.255"),
    ("198.18.0.0", "198.19.255.255"),
    ("198.51.100.0", "198.51.100.255"),
    ("203.0.113.0", "203.0.113.255"),
    ("224.0.0.0", "255.255.255.255"),
    ("::", "::fffe:ffff:ffff"),
    ("::1:0:0:0", "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("64:ff9b::1:0:0", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
];

/// The number of an address, and its neighbours.
fn number(ip: IpAddr) -> (bool, u128) {
    match ip {
        IpAddr::V4(ip) => (true, u128::from(ip.to_bits())),
        IpAddr::V6(ip) => (false, ip.to_bits()),
    }
}

fn at(v4: bool, number: u128) -> Option<IpAddr> {
    if v4 {
        let bits = u32::try_from(number).ok()?;
        return Some(Ipv4Addr::from_bits(bits).into());
    }
    Some(Ipv6Addr::from_bits(number).into())
}

/// The rule once more, by first and last addresses.
fn closed(address: IpAddr) -> bool {
    let (v4, wanted) = number(address);
    if !v4 && (wanted >> 32 == 0xffff || wanted >> 32 == 0x64_ff9b << 64) {
        let bits = u32::try_from(wanted & 0xffff_ffff).unwrap();
        return closed(Ipv4Addr::from_bits(bits).into());
    }
    CLOSED.iter().any(|(first, last)| {
        let (first, last) = (number(ip(first)), number(ip(last)));
        first.0 == v4 && (first.1..=last.1).contains(&wanted)
    })
}

#[test]
fn every_edge_of_every_network() {
    let policy = AddressPolicy::default();
    for (first, last) in CLOSED {
        let (v4, low) = number(ip(first));
        let (_, high) = number(ip(last));
        for inside in [low, low + 1, low.midpoint(high), high - 1, high] {
            let inside = at(v4, inside).unwrap();
            assert!(!policy.admits(inside), "{inside}");
        }
        for near in [low.checked_sub(1), high.checked_add(1)].into_iter().flatten() {
            let Some(near) = at(v4, near) else { continue };
            assert_eq!(policy.admits(near), !closed(near), "{near}");
        }
    }
    for open in [
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "128.0.0.0",
        "192.88.98.255",
        "198.20.0.0",
        "2000::",
        "3ffe::1",
    ] {
        assert!(policy.admits(ip(open)), "{open}");
    }
}

/// One address of each network of 65,536 addresses in version 4, and one of each of 256 where smaller ones are closed.
#[test]
fn all_of_version_4() {
    let policy = AddressPolicy::default();
    let large = (0..=0xffff_u32).map(|network| network << 16 | 0x5555);
    let parts = [100_u32, 169, 172, 192, 198, 203];
    let small = parts
        .into_iter()
        .flat_map(|part| (0..=0xffff_u32).map(move |network| part << 24 | network << 8 | 0x55));
    for ip in large.chain(small).map(Ipv4Addr::from_bits) {
        assert_ne!(policy.admits(ip.into()), closed(ip.into()), "{ip}");
    }
}

proptest! {
    #[test]
    fn the_two_rules_agree(bits in any::<u128>(), shift in 0_u32..128) {
        let ip = IpAddr::from(Ipv6Addr::from_bits(bits >> shift));
        prop_assert_eq!(AddressPolicy::default().admits(ip), !closed(ip));
    }

    #[test]
    fn version_4_in_version_6_is_version_4(bits in any::<u32>()) {
        let plain = Ipv4Addr::from_bits(bits);
        let expected = AddressPolicy::default().admits(plain.into());
        for prefix in [0xffff << 32, 0x64_ff9b << 96] {
            let hidden = Ipv6Addr::from_bits(prefix | u128::from(bits));
            prop_assert_eq!(AddressPolicy::default().admits(hidden.into()), expected, "{}", hidden);
        }
    }

    /// However a number is written, it is the number that is judged.
    #[test]
    fn numbers_in_any_writing(bits in any::<u32>()) {
        let admitted = AddressPolicy::default().admits(Ipv4Addr::from_bits(bits).into());
        let [a, b, c, d] = bits.to_be_bytes();
        for host in [
            format!("{bits}"), format!("{bits:#x}"), format!("0{bits:o}"), format!("{a}.{b}.{c}.{d}"),
            format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"), format!("{a}.{}", bits & 0xff_ffff), format!("{a}.0{b:o}.{}", bits & 0xffff),
        ] {
            let result = AddressPolicy::default().check(&format!("https://{host}/"));
            prop_assert_eq!(result.is_ok(), admitted, "{}", host);
        }
    }

    #[test]
    fn nothing_breaks_it(text in "(https?://)?\\PC{0,80}") {
        if let Ok(url) = AddressPolicy::default().check(&text) {
            prop_assert_eq!(url.scheme(), "https");
            prop_assert_eq!(AddressPolicy::default().check(url.as_str()), Ok(url));
        }
    }
}
