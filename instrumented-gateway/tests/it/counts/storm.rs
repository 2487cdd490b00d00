//! A storm: so many requests in waves, each wave and each client drawn from one seed.
//!
//! Within a wave connections come and go all the time, and few looks at the gateway and at the kernel fall on the same
//! moment. So after each wave a few clients hold what they have, and the storm waits until the judge has compared once more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fastrand::Rng;

use super::visit::visit;
use crate::support::{Client, eventually, spawn};

/// Requests in the ordinary tests. `LEAKWATCH_STORM_REQUESTS=100000` is the storm that the counts are proved by.
const REQUESTS: u64 = 2_400;
const CLIENTS: usize = 48;
const WAVE: usize = 600;
/// Requests of one client on one connection.
const REQUESTS_OF_A_CLIENT: usize = 4;
/// Answers that are on their way while it is compared.
pub(super) const HELD: usize = 8;

/// What the judge and the storm know of each other.
#[derive(Debug, Default)]
pub(super) struct Signs {
    pub(super) over: AtomicBool,
    pub(super) compared: AtomicUsize,
}

/// Runs the storm to its end. Returns how many requests were made, in how many waves. `during` runs beside each wave.
pub(super) async fn rage(
    gateway: SocketAddr,
    signs: &Arc<Signs>,
    mut during: impl AsyncFnMut(usize),
) -> (usize, usize) {
    let requests = usize::try_from(number_from("LEAKWATCH_STORM_REQUESTS", REQUESTS));
    let requests = requests.expect("a count");
    let seed = number_from("LEAKWATCH_SEED", fastrand::u64(..));
    println!("LEAKWATCH_SEED={seed} LEAKWATCH_STORM_REQUESTS={requests}");
    let _over = Over(signs);
    let (mut made, mut waves) = (0, 0);
    while made < requests {
        let wave = wave(gateway, seed, waves, WAVE.min(requests - made));
        made += tokio::join!(wave, during(waves)).0;
        waves += 1;
        lull(gateway, signs).await;
    }
    (made, waves)
}

/// Waits for a comparison while some answers are on their way.
async fn lull(gateway: SocketAddr, signs: &Signs) {
    let mut held = Vec::new();
    for _ in 0..HELD {
        let mut client = Client::asking(gateway, "/held/stall").await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        held.push(client);
    }
    let compared = signs.compared.load(Ordering::SeqCst);
    let again = || signs.compared.load(Ordering::SeqCst) > compared;
    eventually("a comparison", again).await;
}

/// However the storm ends, the judge is told.
struct Over<'s>(&'s Signs);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
    }
}

/// One wave of at least so many requests.
async fn wave(gateway: SocketAddr, seed: u64, wave: usize, requests: usize) -> usize {
    let share = requests.div_ceil(CLIENTS);
    let clients = (0..CLIENTS).map(|client| {
        let drawn = Rng::with_seed(seed).u64(..) ^ (wave * CLIENTS + client) as u64;
        spawn(async move {
            let mut random = Rng::with_seed(drawn);
            let mut made = 0;
            while made < share {
                made += visit(gateway, &mut random, REQUESTS_OF_A_CLIENT).await;
            }
            made
        })
    });
    let clients: Vec<_> = clients.collect();
    let mut made = 0;
    for client in clients {
        made += client.await.expect("no panic of the test's own");
    }
    made
}

fn number_from(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        let number = text.parse();
        number.unwrap_or_else(|_| panic!("{name}={text} is no number"))
    })
}
