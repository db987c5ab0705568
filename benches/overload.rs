//! What becomes of honest requests while a flood of others comes: over real sockets, against a service in a process of its own.
//!
//! First honest accounts ask as fast as they are answered: that is the sustainable rate. Then five times as many requests come, at
//! fixed times whether or not anybody answers: a tenth of them honest, the others with one element that isn't a point, in the last
//! place, from accounts that have quota left, so that nothing but decoding finds it out. Prints how many of the honest ones were
//! answered in time, beside the same without the flood, and how much memory the service has. The load comes from the same machine.
//!
//! ```sh
//! cargo bench --bench overload --features http,http-client
//! ```

#[path = "../tests/support/raw.rs"]
mod raw;
#[path = "../tests/support/service.rs"]
mod service;

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use blindbook::{http::Limits, server::policy::Policy, store::StoreOptions};
use service::{Running, Setup, discover, request_of};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
    time::{sleep_until, timeout},
};

/// Elements of each request.
const ELEMENTS: usize = 16;
/// Requests of each account, fewer than its burst.
const EACH: usize = 8;
const HONEST: usize = 60_000;
const FLOODING: usize = 400_000;
/// How long each part lasts.
const LASTS: Duration = Duration::from_secs(20);
/// How many parts the flood lasts.
const PARTS: usize = 9;
/// Most memory for cached pages of the store: little, so that it is soon used up.
const CACHE: usize = 32 << 20;
/// Who isn't answered by then has given up.
const PATIENCE: Duration = Duration::from_secs(2);

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().collect();
    // `cargo test --benches` runs this too, to see that it compiles.
    if arguments.iter().any(|argument| argument == "--test") {
        return Ok(());
    }
    if let Some(folder) = arguments.iter().position(|argument| argument == "--serve") {
        return serve(&arguments[folder + 1]);
    }
    let folder = tempfile::tempdir()?;
    let mut server = Server::start(folder.path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let honest = Requests::new("honest", HONEST, false);
    let flood = Requests::new("flood", FLOODING, true);
    let idle = server.memory();

    let peak = closed(&runtime, server.address, &honest);
    println!("sustainable: {peak:.0} requests of {ELEMENTS} elements a second");
    println!(
        "| seconds of flood | honest, asked a second | answered | median ms | p99 ms | others a second: asked | 400 | 429 | 503 | memory MiB |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    let mut goodput = Vec::new();
    for part in 0..=PARTS {
        let flooding = if part == 0 { 0.0 } else { peak * 4.5 };
        let before = flood.next.load(Ordering::Relaxed);
        let begun = Instant::now();
        let outcome = open(
            &runtime,
            server.address,
            (&honest, peak / 2.0),
            (&flood, flooding),
        );
        let others = flood.next.load(Ordering::Relaxed) - before;
        // Longer than the part, if others had to wait for their answers.
        let seconds = begun.elapsed().as_secs_f64();
        println!(
            "| {} | {:.0} | {:.0} | {:.1} | {:.1} | {:.0} | {:.0} | {:.0} | {:.0} | {} |",
            part as u64 * LASTS.as_secs(),
            peak / 2.0,
            outcome.rate,
            outcome.median.as_secs_f64() * 1e3,
            outcome.p99.as_secs_f64() * 1e3,
            others as f64 / seconds,
            flood.taken(400) as f64 / seconds,
            flood.taken(429) as f64 / seconds,
            flood.taken(503) as f64 / seconds,
            server.memory() >> 10,
        );
        goodput.push(outcome.rate);
    }
    let worst = goodput.iter().copied().fold(f64::INFINITY, f64::min);
    println!(
        "goodput in the worst part of the flood: {:.0} % of that without",
        100.0 * worst / goodput[0]
    );
    println!("memory before the first request: {} MiB", idle >> 10);
    drop(runtime);
    server.stop()
}

/// The other process.
fn serve(folder: &str) -> io::Result<()> {
    let mut policy = Policy::default();
    policy.service.floor_per_day = 1_000_000_000;
    let running = Running::start(
        folder.as_ref(),
        Setup {
            store: StoreOptions::new().cache(CACHE),
            policy,
            limits: Limits::default(),
            ..Setup::default()
        },
    );
    println!("{}", running.public);
    io::stdin().read_to_end(&mut Vec::new())?;
    running.stop();
    Ok(())
}

struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(folder: &std::path::Path) -> io::Result<Self> {
        let mut process = Command::new(env::current_exe()?)
            .arg("--serve")
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line)?;
        Ok(Self {
            process,
            address: line.trim().parse().unwrap(),
        })
    }

    /// Resident, in KiB.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.map_or(0, |line| {
            line.trim().trim_end_matches(" kB").parse().unwrap()
        })
    }

    fn stop(&mut self) -> io::Result<()> {
        drop(self.process.stdin.take());
        self.process.wait().map(drop)
    }
}

/// Requests, each another one.
struct Requests {
    heads: Vec<Vec<u8>>,
    bodies: Vec<Vec<u8>>,
    next: AtomicUsize,
    /// Answers by their status.
    answers: Vec<AtomicUsize>,
}

impl Requests {
    fn new(name: &str, accounts: usize, broken: bool) -> Arc<Self> {
        let bodies = (0..EACH).map(|stream| {
            let mut body = request_of(ELEMENTS, stream as u8 + 1);
            if broken {
                let last = body.len() - 32;
                body[last..].fill(0xff);
            }
            body
        });
        let bodies: Vec<_> = bodies.collect();
        let length = bodies[0].len();
        let heads = (0..accounts).map(|account| {
            let credential = discover(&format!("{name} {account}"));
            format!(
                "POST /v1/evaluate HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
                 Content-Type: application/vnd.blindbook.v1+octets\r\nContent-Length: {length}\r\n\r\n",
                credential.as_str()
            )
            .into_bytes()
        });
        Arc::new(Self {
            heads: heads.collect(),
            bodies,
            next: AtomicUsize::new(0),
            answers: (0..600).map(|_| AtomicUsize::new(0)).collect(),
        })
    }

    fn count(&self, status: Option<u16>) {
        let status = usize::from(status.unwrap_or_default());
        self.answers[status].fetch_add(1, Ordering::Relaxed);
    }

    /// Answers of this status since that was asked last.
    fn taken(&self, status: usize) -> usize {
        self.answers[status].swap(0, Ordering::Relaxed)
    }

    fn next(&self) -> Vec<u8> {
        let serial = self.next.fetch_add(1, Ordering::Relaxed);
        let head = &self.heads[serial % self.heads.len()];
        let body = &self.bodies[serial / self.heads.len() % EACH];
        [head.as_slice(), body].concat()
    }
}

/// A connection that is kept.
struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Connection {
    const fn new(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
            buffer: Vec::new(),
        }
    }

    /// The status of an answer; `None` if none came.
    async fn ask(&mut self, request: &[u8]) -> Option<u16> {
        let answer = timeout(PATIENCE, self.exchange(request)).await;
        match answer {
            Ok(Ok(status)) => Some(status),
            _ => {
                self.stream = None;
                None
            }
        }
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<u16> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
        }
        let stream = self.stream.as_mut().unwrap();
        stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let Some(end) = self
                .buffer
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n")
            else {
                continue;
            };
            let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if self.buffer.len() < end + 4 + length {
                continue;
            }
            if head.contains("connection: close") {
                self.stream = None;
            }
            return Ok(head[9..12].parse().unwrap());
        }
    }
}

/// As fast as they are answered; how many a second are.
fn closed(runtime: &Runtime, address: SocketAddr, honest: &Arc<Requests>) -> f64 {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let honest = Arc::clone(honest);
            runtime.spawn(async move {
                let mut connection = Connection::new(address);
                let mut answered = 0_u32;
                while begun.elapsed() < LASTS {
                    answered += u32::from(connection.ask(&honest.next()).await == Some(200));
                }
                answered
            })
        })
        .collect();
    let answered: u32 = tasks
        .into_iter()
        .map(|task| runtime.block_on(task).unwrap())
        .sum();
    f64::from(answered) / begun.elapsed().as_secs_f64()
}

struct Outcome {
    rate: f64,
    median: Duration,
    p99: Duration,
}

/// So many requests a second, at their times; how the first ones fared.
fn open(
    runtime: &Runtime,
    address: SocketAddr,
    (honest, honest_rate): (&Arc<Requests>, f64),
    (flood, flood_rate): (&Arc<Requests>, f64),
) -> Outcome {
    let begun = Instant::now();
    let flooding = paced(runtime, address, flood, flood_rate, 512, begun);
    let asking = paced(runtime, address, honest, honest_rate, 256, begun);
    let mut took: Vec<Duration> = Vec::new();
    for task in asking {
        took.extend(runtime.block_on(task).unwrap());
    }
    for task in flooding {
        runtime.block_on(task).unwrap();
    }
    took.sort_unstable();
    let at = |part: usize| {
        took.get(took.len() * part / 100)
            .copied()
            .unwrap_or_default()
    };
    Outcome {
        rate: took.len() as f64 / LASTS.as_secs_f64(),
        median: at(50),
        p99: at(99),
    }
}

/// On so many connections, each with its share of the times. Gives how long each answer with a result took, from the time at which it was due.
fn paced(
    runtime: &Runtime,
    address: SocketAddr,
    requests: &Arc<Requests>,
    rate: f64,
    connections: u32,
    begun: Instant,
) -> Vec<tokio::task::JoinHandle<Vec<Duration>>> {
    if rate == 0.0 {
        return Vec::new();
    }
    let gap = Duration::from_secs_f64(f64::from(connections) / rate);
    (0..connections)
        .map(|number| {
            let requests = Arc::clone(requests);
            runtime.spawn(async move {
                let mut connection = Connection::new(address);
                let mut due = begun + gap * number / connections;
                let mut took = Vec::new();
                while due < begun + LASTS {
                    sleep_until(due.into()).await;
                    let status = connection.ask(&requests.next()).await;
                    requests.count(status);
                    if status == Some(200) && due.elapsed() < PATIENCE {
                        took.push(due.elapsed());
                    }
                    due += gap;
                }
                took
            })
        })
        .collect()
}
