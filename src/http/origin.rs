//! Where a request comes from: the client's address, and the pseudonyms of its networks.
//!
//! The address is that of the connection. Behind proxies it is in a header that they write and that anybody else can
//! write too, so it is read only if the connection comes from a proxy that the operator trusts, and from the right:
//!
//! ```text
//! X-Forwarded-For: 192.0.2.7, 198.51.100.9, 10.0.0.2        connection from 10.0.0.1
//!                  says anybody  the client    trusted                    trusted
//! ```
//!
//! An address never leaves this module. What does is HMAC-SHA-256, under the service's pepper, of its prefixes.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    string::String,
    vec::Vec,
};

use aws_lc_rs::hmac;
use axum::{
    extract::{ConnectInfo, Request},
    http::HeaderName,
};
use serde::Deserialize;

use crate::{
    secret::SecretBytes,
    server::quota::{NetworkKey, Origin},
};

/// Proxies that one request can have come through.
const MOST_HOPS: usize = 16;
/// Stands before what is hashed. Names of accounts are hashed under the same key, but one that imitates this gains nothing:
/// accounts and networks are of different kinds in every row.
const DOMAIN: &[u8] = b"blindbook-v1-network\0";

/// The proxies that a service is reached through.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Proxies {
    /// Networks from which the header is believed: none.
    pub trusted: Vec<Network>,
    /// The header with a list of addresses, to which each proxy appends the one that it was connected from:
    /// `x-forwarded-for`.
    #[serde(deserialize_with = "header_name")]
    pub header: HeaderName,
}

impl Default for Proxies {
    fn default() -> Self {
        Self {
            trusted: Vec::new(),
            header: HeaderName::from_static("x-forwarded-for"),
        }
    }
}

fn header_name<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<HeaderName, D::Error> {
    let name = String::deserialize(deserializer)?;
    HeaderName::from_str(&name).map_err(serde::de::Error::custom)
}

impl Proxies {
    /// The address of the client that a request comes from.
    fn client(&self, peer: IpAddr, request: &Request) -> IpAddr {
        let mut client = peer.to_canonical();
        let lines: Vec<&str> = request
            .headers()
            .get_all(&self.header)
            .iter()
            .map(|line| line.to_str().unwrap_or_default())
            .collect();
        let mut hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
        for _ in 0..MOST_HOPS {
            if !self.trusted.iter().any(|network| network.contains(client)) {
                break;
            }
            // What a trusted proxy can't have written ends the walk there: its own network pays.
            let Some(next) = hops.next().and_then(address) else {
                break;
            };
            client = next.to_canonical();
        }
        client
    }

    /// Where a request comes from, as the quota may know it.
    pub(super) fn origin(&self, request: &Request, pepper: &SecretBytes<32>) -> Origin {
        match request.extensions().get::<ConnectInfo<SocketAddr>>() {
            None => Origin::Unknown,
            Some(ConnectInfo(peer)) => pseudonyms(self.client(peer.ip(), request), pepper),
        }
    }
}

/// An address as proxies write it: bare, with a port, in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    bare.unwrap_or(text)
        .parse()
        .ok()
        .or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
}

/// The networks of an address, from the narrowest to the widest.
fn pseudonyms(address: IpAddr, pepper: &SecretBytes<32>) -> Origin {
    let network = |length| Network::around(address, length).pseudonym(pepper);
    match carried(address) {
        IpAddr::V4(address) => Origin::V4 {
            net24: Network::around(address.into(), 24).pseudonym(pepper),
        },
        IpAddr::V6(_) => Origin::V6 {
            net64: network(64),
            net48: network(48),
            net32: network(32),
        },
    }
}

/// The IPv4 address that an IPv6 address stands for, if it does: mapped (RFC 4291), translated (RFC 6052) or 6to4
/// (RFC 3056). Otherwise the same host could come from as many networks as there are ways to write it.
fn carried(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address.to_canonical() else {
        return address.to_canonical();
    };
    let four = match six.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
        }
        _ => return six.into(),
    };
    four.into()
}

/// A range of addresses, such as `10.0.0.0/8` or `2001:db8::/32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

/// A text that isn't a range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a network such as 10.0.0.0/8 or 2001:db8::/32, with zeros behind its length")]
pub struct BadNetwork;

impl Network {
    fn around(address: IpAddr, length: u8) -> Self {
        let address = match address {
            IpAddr::V4(four) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                Ipv4Addr::from_bits(four.to_bits() & mask).into()
            }
            IpAddr::V6(six) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                Ipv6Addr::from_bits(six.to_bits() & mask).into()
            }
        };
        Self { address, length }
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && *self == Self::around(address, self.length)
    }

    /// HMAC-SHA-256 under the pepper, of the family, the length of the prefix, and the prefix.
    fn pseudonym(&self, pepper: &SecretBytes<32>) -> NetworkKey {
        let key = hmac::Key::new(hmac::HMAC_SHA256, pepper.expose());
        let mut context = hmac::Context::with_key(&key);
        context.update(DOMAIN);
        match self.address {
            IpAddr::V4(four) => {
                context.update(&[4, self.length]);
                context.update(&four.octets());
            }
            IpAddr::V6(six) => {
                context.update(&[6, self.length]);
                context.update(&six.octets());
            }
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.sign().as_ref());
        NetworkKey::new(bytes)
    }

    /// The pseudonym of a network that the quota keeps apart: an IPv4 /24, or an IPv6 /64, /48 or /32.
    pub(super) fn suspect(&self, pepper: &SecretBytes<32>) -> Option<NetworkKey> {
        let lengths: &[u8] = match self.address {
            IpAddr::V4(_) => &[24],
            IpAddr::V6(_) => &[64, 48, 32],
        };
        lengths
            .contains(&self.length)
            .then(|| self.pseudonym(pepper))
    }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let (address, length) = match text.split_once('/') {
            None => {
                let address: IpAddr = text.parse().map_err(|_| BadNetwork)?;
                (address, if address.is_ipv4() { 32 } else { 128 })
            }
            Some((address, length)) => (
                address.parse().map_err(|_| BadNetwork)?,
                length.parse().map_err(|_| BadNetwork)?,
            ),
        };
        let longest = if address.is_ipv4() { 32 } else { 128 };
        // `to_canonical` is applied to every address before it is compared: a mapped network would contain nobody.
        if length > longest || address.to_canonical() != address {
            return Err(BadNetwork);
        }
        let network = Self { address, length };
        if network != Self::around(address, length) {
            return Err(BadNetwork);
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use axum::body::Body;

    use super::*;

    fn pepper() -> SecretBytes<32> {
        SecretBytes::new(&mut [5; 32])
    }

    fn request(lines: &[&str]) -> Request {
        let mut request = Request::builder();
        for line in lines {
            request = request.header("x-forwarded-for", *line);
        }
        request.body(Body::empty()).unwrap()
    }

    fn proxies() -> Proxies {
        Proxies {
            trusted: ["10.0.0.0/8", "2001:db8:aa::/48"]
                .map(|text| text.parse().unwrap())
                .into(),
            ..Proxies::default()
        }
    }

    fn client(peer: &str, lines: &[&str]) -> String {
        let peer = peer.parse().unwrap();
        proxies().client(peer, &request(lines)).to_string()
    }

    #[test]
    fn a_header_counts_only_from_a_trusted_proxy_and_from_the_right() {
        assert_eq!(client("203.0.113.9", &["192.0.2.1"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["192.0.2.1"]), "192.0.2.1");
        // Whatever the client wrote itself stands further left.
        let forged = "192.0.2.7, 198.51.100.9, 10.0.0.2";
        assert_eq!(client("10.0.0.1", &[forged]), "198.51.100.9");
        assert_eq!(
            client("10.0.0.1", &["192.0.2.7, 198.51.100.9", "10.0.0.2"]),
            "198.51.100.9"
        );
        assert_eq!(client("::ffff:10.0.0.1", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(
            client("2001:db8:aa::1", &["[2001:db8::5]:443"]),
            "2001:db8::5"
        );
        assert_eq!(client("10.0.0.1", &["192.0.2.1:55"]), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &["::ffff:192.0.2.1"]), "192.0.2.1");
        // What isn't an address ends the walk, at the last one that is.
        assert_eq!(client("10.0.0.1", &["192.0.2.1, unknown"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["192.0.2.1,, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(
            client("10.0.0.1", &[&"10.0.0.2,".repeat(100_000)]),
            "10.0.0.1"
        );
        // Without trust, a header is as good as none.
        let alone =
            Proxies::default().client("10.0.0.1".parse().unwrap(), &request(&["192.0.2.1"]));
        assert_eq!(alone.to_string(), "10.0.0.1");
    }

    #[test]
    fn one_host_has_one_network_however_its_address_is_written() {
        let of = |text: &str| pseudonyms(text.parse().unwrap(), &pepper());
        let four = of("192.0.2.1");
        for same in [
            "192.0.2.254",
            "::ffff:192.0.2.9",
            "64:ff9b::192.0.2.3",
            "2002:c000:0205:1234::1",
        ] {
            assert_eq!(of(same), four, "{same}");
        }
        assert_ne!(of("192.0.3.1"), four);
        let Origin::V6 {
            net64,
            net48,
            net32,
        } = of("2001:db8:1:2::3")
        else {
            panic!("not IPv6");
        };
        let neighbour = of("2001:db8:1:3::3");
        assert!(
            matches!(neighbour, Origin::V6 { net64: other, net48: same, .. }
            if other != net64 && same == net48)
        );
        let provider = of("2001:db8:2:2::3");
        assert!(
            matches!(provider, Origin::V6 { net48: other, net32: same, .. }
            if other != net48 && same == net32)
        );
        assert_ne!(net64, net48);
        // A /32 and a /64 that begin with the same bits are two networks, and another pepper makes others.
        assert_ne!(
            of("2001:db8::").clone(),
            Origin::V6 {
                net64: net32,
                net48: net32,
                net32
            }
        );
        let other = pseudonyms(
            "192.0.2.1".parse().unwrap(),
            &SecretBytes::new(&mut [6; 32]),
        );
        assert_ne!(other, four);
    }

    #[test]
    fn a_network_is_written_in_one_way() {
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "::/129",
            "::1/64",
            "10.0.0.0/-1",
            "x/8",
            "::ffff:10.0.0.0/104",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
        for good in ["0.0.0.0/0", "::/0", "10.0.0.0/8", "2001:db8::/32"] {
            assert_eq!(good.parse::<Network>().unwrap().to_string(), good);
        }
        let everybody: Network = "0.0.0.0/0".parse().unwrap();
        assert!(everybody.contains("192.0.2.1".parse().unwrap()));
        assert!(!everybody.contains("2001:db8::1".parse().unwrap()));
        let one: Network = "192.0.2.1".parse().unwrap();
        assert!(one.contains("192.0.2.1".parse().unwrap()));
        assert!(one.suspect(&pepper()).is_none());
    }
}
