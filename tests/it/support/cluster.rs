//! Three redis-servers that are one Redis Cluster, of the test's own; gone with it.

use std::path::Path;
use std::time::Duration;

use subiteya::child::{Contained, Limits, Running, find};
use tokio::net::TcpStream;

use super::resp;
use super::servers::free_port;

pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    nodes: Vec<(u16, Running)>,
    /// Where the nodes talk to each other; Redis' own choice, port + 10000, may be another's.
    buses: Vec<u16>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let buses: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let mut nodes = Vec::new();
        for bus in &buses {
            nodes.push(node(folder.path(), free_port(), *bus).await);
        }
        let ports: Vec<u16> = nodes.iter().map(|(port, _)| *port).collect();
        let slots = ["0 5460", "5461 10922", "10923 16383"];
        for (port, range) in ports.iter().zip(slots) {
            let mut words = vec!["CLUSTER", "ADDSLOTSRANGE"];
            words.extend(range.split(' '));
            assert_eq!(command(*port, &words).await.as_deref(), Some("+OK\r\n"));
        }
        for port in &ports[1..] {
            let first = [ports[0], buses[0]].map(|port| port.to_string());
            command(*port, &["CLUSTER", "MEET", "127.0.0.1", &first[0], &first[1]]).await;
        }
        let cluster = Self { folder, nodes, buses };
        super::eventually("the cluster is whole", Duration::from_secs(20), || async {
            for port in &ports {
                let info = command(*port, &["CLUSTER", "INFO"]).await.unwrap_or_default();
                if !info.contains("cluster_state:ok") || !info.contains("cluster_known_nodes:3") {
                    return false;
                }
            }
            true
        })
        .await;
        cluster
    }

    /// The first node's address; the client finds the others.
    pub(crate) fn url(&self) -> String {
        format!("redis-cluster://127.0.0.1:{}", self.nodes[0].0)
    }

    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> {
        self.nodes.iter().map(|(port, _)| *port)
    }

    pub(crate) fn pids(&self) -> impl Iterator<Item = u32> {
        self.nodes.iter().map(|(_, server)| server.group().unsigned_abs())
    }

    /// The port of the node that has this key, by its own words.
    pub(crate) async fn owner(&self, key: &str) -> u16 {
        for port in self.ports() {
            let reply = command(port, &["EXISTS", key]).await.unwrap_or_default();
            if reply.starts_with(':') {
                return port;
            }
        }
        panic!("no node has {key}");
    }

    pub(crate) async fn kill(&mut self, port: u16) {
        let (_, server) = self.nodes.iter_mut().find(|(one, _)| *one == port).expect("a node");
        server.kill().await.expect("killed");
    }

    pub(crate) async fn restart(&mut self, port: u16) {
        let place = self.nodes.iter().position(|(one, _)| *one == port).expect("a node");
        self.nodes[place] = node(self.folder.path(), port, self.buses[place]).await;
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

async fn node(folder: &Path, port: u16, bus: u16) -> (u16, Running) {
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
    super::eventually("the node answers", Duration::from_secs(10), || async {
        command(port, &["PING"]).await.is_some_and(|reply| reply.starts_with("+PONG"))
    })
    .await;
    (port, server)
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
