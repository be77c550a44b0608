//! Proxies of each kind, and such as cannot be used: nothing goes past one that is named.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::server::{Answer, Hub};
use crate::{Client, tiny_model};

/// What a proxy on this machine does with whoever connects.
#[derive(Clone, Copy)]
enum Kind {
    /// HTTP's CONNECT.
    Connect,
    /// SOCKS5 for everybody, or for those who know its password.
    Socks5(Option<(&'static str, &'static str)>),
    /// SOCKS4, and 4a.
    Socks4,
    /// An answer to whatever comes.
    Says(&'static str),
}

struct Proxy {
    address: String,
    asked: Arc<AtomicUsize>,
    tunnels: Arc<AtomicUsize>,
}

impl Proxy {
    fn new(kind: Kind) -> Self {
        let server = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = server.local_addr().expect("an address").to_string();
        let (asked, tunnels) = (Arc::default(), Arc::default());
        let proxy = Self {
            address,
            asked: Arc::clone(&asked),
            tunnels: Arc::clone(&tunnels),
        };
        thread::spawn(move || {
            for stream in server.incoming().flatten() {
                asked.fetch_add(1, Ordering::Relaxed);
                let tunnels = Arc::clone(&tunnels);
                // A client that hangs up ends its thread alone.
                thread::spawn(move || serve(kind, stream, &tunnels));
            }
        });
        proxy
    }

    fn count(&self) -> [usize; 2] {
        [&self.asked, &self.tunnels].map(|count| count.load(Ordering::Relaxed))
    }
}

fn serve(kind: Kind, stream: TcpStream, tunnels: &AtomicUsize) -> io::Result<()> {
    let mut input = BufReader::new(stream.try_clone()?);
    let mut output = stream.try_clone()?;
    let target = match kind {
        Kind::Connect => {
            let target = head(&mut input)?;
            output.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            target
        }
        Kind::Socks5(account) => socks5(&mut input, &mut output, account)?,
        Kind::Socks4 => socks4(&mut input, &mut output)?,
        Kind::Says(answer) => {
            if answer.starts_with("HTTP") {
                head(&mut input)?;
            } else {
                input.read_exact(&mut [0; 3])?;
            }
            output.write_all(answer.as_bytes())?;
            return Ok(());
        }
    };
    tunnels.fetch_add(1, Ordering::Relaxed);
    let server = TcpStream::connect(target)?;
    let mut up = server.try_clone()?;
    let back = thread::spawn(move || io::copy(&mut &server, &mut output));
    // The client writes its request after the handshake, so nothing is left in the reader.
    let _ = io::copy(&mut input, &mut up);
    let _ = up.shutdown(std::net::Shutdown::Both);
    let _ = back.join();
    Ok(())
}

/// The second word of a request's first line; its other lines are passed over.
fn head(input: &mut impl BufRead) -> io::Result<String> {
    let mut first = String::new();
    input.read_line(&mut first)?;
    let mut line = String::new();
    while input.read_line(&mut line)? > 0 && !line.trim().is_empty() {
        line.clear();
    }
    Ok(first.split(' ').nth(1).unwrap_or_default().to_owned())
}

fn bytes<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn counted(input: &mut impl Read) -> io::Result<String> {
    let [length] = bytes(input)?;
    let mut text = vec![0; length.into()];
    input.read_exact(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// RFC 1928, and 1929 for the password.
fn socks5(
    input: &mut impl BufRead,
    output: &mut TcpStream,
    account: Option<(&str, &str)>,
) -> io::Result<String> {
    let [version, methods] = bytes(input)?;
    assert_eq!(version, 5);
    let mut offered = vec![0; methods.into()];
    input.read_exact(&mut offered)?;
    match account {
        None => output.write_all(&[5, 0])?,
        Some(_) if !offered.contains(&2) => {
            output.write_all(&[5, 0xff])?;
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Some(account) => {
            output.write_all(&[5, 2])?;
            let [_] = bytes(input)?;
            let given = (counted(input)?, counted(input)?);
            let good = (given.0.as_str(), given.1.as_str()) == account;
            output.write_all(&[1, u8::from(!good)])?;
            if !good {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
        }
    }
    let [_, command, _, kind] = bytes(input)?;
    assert_eq!(command, 1);
    let host = match kind {
        1 => std::net::Ipv4Addr::from(bytes::<4>(input)?).to_string(),
        _ => counted(input)?,
    };
    let port = u16::from_be_bytes(bytes(input)?);
    output.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 1])?;
    Ok(format!("{host}:{port}"))
}

fn socks4(input: &mut impl BufRead, output: &mut TcpStream) -> io::Result<String> {
    let [version, command] = bytes(input)?;
    assert_eq!((version, command), (4, 1));
    let port = u16::from_be_bytes(bytes(input)?);
    let host = std::net::Ipv4Addr::from(bytes::<4>(input)?);
    input.read_until(0, &mut Vec::new())?;
    output.write_all(&[0, 90, 0, 0, 0, 0, 0, 0])?;
    Ok(format!("{host}:{port}"))
}

/// A client whose hub is asked through the proxy that `address` names.
fn client(hub: &Hub, address: &str) -> Client {
    let mut client = Client::new(hub.endpoint());
    client.set("all_proxy", address);
    client
}

fn hub() -> Hub {
    Hub::new(&tiny_model(), |_| Answer::Serve).expect("a hub")
}

#[test]
fn each_kind_of_proxy_is_used() {
    let account = Some(("me", "p@ss:word"));
    for (scheme, kind) in [
        ("http", Kind::Connect),
        ("socks5", Kind::Socks5(None)),
        ("socks5h", Kind::Socks5(None)),
        ("socks", Kind::Socks5(None)),
        ("socks5h", Kind::Socks5(account)),
        ("socks4", Kind::Socks4),
        ("socks4a", Kind::Socks4),
    ] {
        let (hub, proxy) = (hub(), Proxy::new(kind));
        let known = match kind {
            Kind::Socks5(Some(_)) => "me:p%40ss%3Aword@",
            _ => "",
        };
        let client = client(&hub, &format!("{scheme}://{known}{}", proxy.address));
        client.pulls(&tiny_model());
        let [asked, tunnels] = proxy.count();
        assert!(
            asked > 0 && asked == tunnels,
            "{scheme}: {asked}, {tunnels}"
        );
        // Nothing came another way.
        assert_eq!(hub.connections(), tunnels, "{scheme}");
    }
}

#[test]
fn exceptions_go_without_a_proxy() {
    let (hub, proxy) = (hub(), Proxy::new(Kind::Socks5(None)));
    let mut client = client(&hub, &format!("socks5://{}", proxy.address));
    client.set("no_proxy", "localhost,127.0.0.1");
    client.pulls(&tiny_model());
    assert_eq!(proxy.count(), [0, 0]);
}

#[test]
fn a_proxy_that_cannot_be_used_is_named() {
    let hub = hub();
    for (address, words) in [
        ("ftp://me:secret@p.co", ["ftp://p.co", "socks5"]),
        ("socks5://p.co:99999", ["socks5://p.co:99999", "65535"]),
        ("socks4://me:secret@p.co", ["socks4://p.co", "SOCKS4"]),
    ] {
        let said = client(&hub, address).refused(&words);
        assert!(
            said.contains("all_proxy") && !said.contains("secret"),
            "{said}"
        );
    }
    // Nobody listens there.
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = nobody.local_addr().expect("an address").to_string();
    drop(nobody);
    for scheme in ["http", "socks5", "socks4a"] {
        let client = client(
            &hub,
            &format!("{scheme}://me:secret@{address}")
                .replace("socks4a://me:secret@", "socks4a://"),
        );
        let said = client.refused(&["through the proxy", &address, "all_proxy"]);
        assert!(!said.contains("secret"), "{said}");
    }
    assert_eq!(hub.connections(), 0, "the hub was asked past the proxy");
}

#[test]
fn what_a_proxy_refuses_is_said_at_once() {
    let hub = hub();
    let account = Some(("me", "right"));
    for (scheme, known, kind, word) in [
        (
            "http",
            "",
            Kind::Says("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"),
            "407",
        ),
        (
            "http",
            "",
            Kind::Says("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
            "403",
        ),
        ("socks5", "", Kind::Socks5(account), "password"),
        ("socks5", "me:wrong@", Kind::Socks5(account), "password"),
        ("socks5", "", Kind::Says("HT"), "SOCKS"),
    ] {
        let proxy = Proxy::new(kind);
        let client = client(&hub, &format!("{scheme}://{known}{}", proxy.address));
        let said = client.refused(&[&proxy.address, "all_proxy", "refuses", word]);
        assert!(!said.contains("wrong"), "{said}");
        assert_eq!(proxy.count(), [1, 0], "asked again: {said}");
    }
    assert_eq!(hub.connections(), 0, "the hub was asked past the proxy");
    // A proxy that nobody named answers in the hub's place.
    let server = crate::server::Hub::new(&tiny_model(), |_| Answer::Status(407, vec![]));
    let server = server.expect("a hub");
    Client::new(server.endpoint()).refused(&["proxy on the way", "407"]);
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_busy_proxy_is_asked_again() {
    let hub = hub();
    let proxy = Proxy::new(Kind::Says(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
    ));
    let client = client(&hub, &format!("http://{}", proxy.address));
    client.refused(&["through the proxy", &proxy.address, "503"]);
    assert_eq!(proxy.count(), [4, 0]);
}
