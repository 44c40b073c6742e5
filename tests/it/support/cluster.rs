//! redis-servers that are one Redis Cluster of three masters, of the test's own; gone with it.

use std::path::Path;
use std::time::Duration;

use subiteya::child::{Contained, Limits, Running, find};
use tokio::net::TcpStream;

use super::resp;
use super::servers::free_port;

/// Longer than a busy machine takes to start a server, or to have it heard of by the others.
const PATIENCE: Duration = Duration::from_secs(30);
const MASTERS: usize = 3;

pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    /// The masters, and then, in the same order, the replica of each, if they have any.
    nodes: Vec<Node>,
}

struct Node {
    port: u16,
    /// Where the nodes talk to each other; Redis' own choice, port + 10000, may be another's.
    bus: u16,
    server: Running,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let mut cluster = Self { folder: tempfile::tempdir().expect("a folder"), nodes: Vec::new() };
        for slots in ["0 5460", "5461 10922", "10923 16383"] {
            let port = cluster.joined().await;
            let words: Vec<&str> = ["CLUSTER", "ADDSLOTSRANGE"].into_iter().chain(slots.split(' ')).collect();
            assert_eq!(reply(port, &words).await, "+OK\r\n");
        }
        cluster.is_known_to_all().await;
        cluster
    }

    /// A replica follows each master, and takes its place when it is gone for two seconds.
    pub(crate) async fn with_replicas() -> Self {
        let mut cluster = Self::start().await;
        for place in 0..MASTERS {
            let (master, replica) = (id(cluster.nodes[place].port).await, cluster.joined().await);
            super::eventually("the replica knows its master", PATIENCE, || async {
                command(replica, &["CLUSTER", "REPLICATE", &master]).await.is_some_and(|reply| reply.starts_with("+OK"))
            })
            .await;
            super::eventually("the replica follows", PATIENCE, || is_following(replica, true)).await;
        }
        cluster.is_known_to_all().await;
        cluster
    }

    /// Starts another node, which the first one is told of.
    async fn joined(&mut self) -> u16 {
        let (port, bus) = (free_port(), free_port());
        let server = launch(self.folder.path(), port, bus).await;
        self.nodes.push(Node { port, bus, server });
        if self.nodes.len() > 1 {
            let first = [self.nodes[0].port, self.nodes[0].bus].map(|port| port.to_string());
            reply(port, &["CLUSTER", "MEET", "127.0.0.1", &first[0], &first[1]]).await;
        }
        port
    }

    /// Waits until every node finds the cluster in order and knows all others for what they are.
    async fn is_known_to_all(&self) {
        let replicas = self.nodes.len() - MASTERS;
        let known = format!("cluster_known_nodes:{}\r\n", self.nodes.len());
        super::eventually("the cluster is whole", PATIENCE, || async {
            for port in self.ports() {
                let info = command(port, &["CLUSTER", "INFO"]).await.unwrap_or_default();
                let nodes = command(port, &["CLUSTER", "NODES"]).await.unwrap_or_default();
                let whole = info.contains("cluster_state:ok") && info.contains(&known);
                if !whole || nodes.matches("slave ").count() != replicas {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// The first node's address; the client finds the others.
    pub(crate) fn url(&self) -> String {
        format!("redis-cluster://127.0.0.1:{}", self.nodes[0].port)
    }

    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> {
        self.nodes.iter().map(|node| node.port)
    }

    pub(crate) fn pids(&self) -> impl Iterator<Item = u32> {
        self.nodes.iter().map(|node| node.server.group().unsigned_abs())
    }

    /// The port of the node that has this key, by its own words.
    pub(crate) async fn owner(&self, key: &str) -> u16 {
        self.owner_now(key).await.unwrap_or_else(|| panic!("no node has {key}"))
    }

    /// None while the node that had it is gone and nobody has taken its place.
    pub(crate) async fn owner_now(&self, key: &str) -> Option<u16> {
        for port in self.ports() {
            if command(port, &["EXISTS", key]).await.is_some_and(|reply| reply.starts_with(':')) {
                return Some(port);
            }
        }
        None
    }

    pub(crate) async fn kill(&mut self, port: u16) {
        let place = self.place(port);
        self.nodes[place].server.kill().await.expect("killed");
    }

    pub(crate) async fn restart(&mut self, port: u16) {
        let place = self.place(port);
        self.nodes[place].server = launch(self.folder.path(), port, self.nodes[place].bus).await;
    }

    /// From now on the replica of this master hears nothing more of it.
    pub(crate) async fn cut_replica_of(&self, master: u16) {
        let replica = self.nodes[MASTERS + self.place(master)].port;
        reply(replica, &["CONFIG", "SET", "masteruser", "nobody", "masterauth", "wrong"]).await;
        reply(master, &["CLIENT", "KILL", "TYPE", "replica"]).await;
        super::eventually("the replica is cut off", PATIENCE, || is_following(replica, false)).await;
    }

    /// Waits until this node follows another one.
    pub(crate) async fn follows(&self, port: u16) {
        super::eventually("it follows", PATIENCE, || is_following(port, true)).await;
    }

    fn place(&self, port: u16) -> usize {
        self.nodes.iter().position(|node| node.port == port).expect("a node")
    }

    /// Moves a key's hash slot, with the key, to another node, as a rebalancing does.
    pub(crate) async fn migrate(&self, key: &str, from: u16, to: u16) {
        let slot = reply(from, &["CLUSTER", "KEYSLOT", key]).await[1..].trim().to_owned();
        let (from_id, to_id) = (id(from).await, id(to).await);
        let (from_port, to_port) = (from.to_string(), to.to_string());
        reply(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await;
        reply(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await;
        reply(from, &["MIGRATE", "127.0.0.1", &to_port, key, "0", "2000"]).await;
        for port in [to_port, from_port] {
            reply(port.parse().expect("a port"), &["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await;
        }
    }

    /// Sends one command to the node on this port.
    pub(crate) async fn command_at(&self, port: u16, words: &[&str]) -> String {
        reply(port, words).await
    }

    /// Sends one command to each node and gives the raw replies.
    pub(crate) async fn command(&self, words: &[&str]) -> Vec<String> {
        let mut replies = Vec::new();
        for port in self.ports() {
            replies.push(command(port, words).await.expect("the node answers"));
        }
        replies
    }
}

async fn launch(folder: &Path, port: u16, bus: u16) -> Running {
    let program = find(&["redis-server", "valkey-server"]).expect("redis-server or valkey-server is installed");
    let bus = bus.to_string();
    let home = folder.join(port.to_string());
    std::fs::create_dir_all(&home).expect("a folder");
    let server = Contained::new(&program, &home, Limits::default())
        .args(["--port", &port.to_string(), "--cluster-port", &bus, "--bind", "127.0.0.1", "--cluster-enabled", "yes"])
        .args([
            "--cluster-require-full-coverage",
            "no",
            "--cluster-node-timeout",
            "2000",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            ".",
        ])
        .start()
        .expect("redis-server starts");
    super::eventually("the node answers", PATIENCE, || async {
        command(port, &["PING"]).await.is_some_and(|reply| reply.starts_with("+PONG"))
    })
    .await;
    server
}

async fn is_following(port: u16, well: bool) -> bool {
    let status = if well { "master_link_status:up" } else { "master_link_status:down" };
    command(port, &["INFO", "replication"]).await.is_some_and(|info| info.contains(status))
}

async fn id(port: u16) -> String {
    reply(port, &["CLUSTER", "MYID"]).await.lines().nth(1).expect("an id").to_owned()
}

async fn reply(port: u16, words: &[&str]) -> String {
    let reply = command(port, words).await.expect("the node answers");
    assert!(!reply.starts_with("-ERR"), "{words:?}: {reply}");
    reply
}

async fn command(port: u16, words: &[&str]) -> Option<String> {
    resp::ask(TcpStream::connect(("127.0.0.1", port)).await.ok()?, words).await
}
