//! Redis Cluster: which node has a stream.
//!
//! Each stream is one key, so each connection needs one node only. It is found by asking: a node that hasn't got the key
//! answers `MOVED` with the address of the one that has. fred's own cluster client is not used: it holds a connection to
//! every node, and while one of them is away it answers for none.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fred::types::config::{Config, Server, ServerConfig};

/// Host and port.
type Node = (String, u16);

/// The nodes that were named so far: the URL's, and those that an answer named.
#[derive(Debug, Clone)]
pub(super) struct Nodes {
    /// The host of the URL: what the nodes' certificates are for, where a node is known by its address.
    name: String,
    known: Arc<Mutex<Vec<Node>>>,
}

/// Where a connection goes for its stream.
#[derive(Debug)]
pub(super) struct Route {
    nodes: Nodes,
    owner: Mutex<Option<Node>>,
}

impl Nodes {
    /// Of the URL's cluster; none: it is no cluster's.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let ServerConfig::Clustered { hosts, .. } = &config.server else { return None };
        let name = hosts.last()?.host.to_string();
        let known = hosts.iter().rev().map(|server| (server.host.to_string(), server.port)).collect();
        Some(Self { name, known: Arc::new(Mutex::new(known)) })
    }

    fn server(&self, (host, port): &Node) -> Server {
        let mut server = Server::new(host.as_str(), *port);
        if host.parse::<IpAddr>().is_ok() {
            server.tls_server_name = Some(self.name.as_str().into());
        }
        server
    }
}

impl Route {
    pub(super) fn new(nodes: Nodes) -> Self {
        Self { nodes, owner: Mutex::default() }
    }

    /// For another connection to the same stream.
    pub(super) fn again(&self) -> Self {
        Self { nodes: self.nodes.clone(), owner: Mutex::new(lock(&self.owner).clone()) }
    }

    /// Takes the node from `MOVED 866 10.0.0.1:6379`. A node that doesn't know its own name leaves the host out.
    pub(super) fn moved(&self, answer: &str) {
        let Some((host, port)) = answer.rsplit(' ').next().and_then(|address| address.rsplit_once(':')) else { return };
        let Ok(port) = port.parse() else { return };
        let node = (if host.is_empty() { self.nodes.name.clone() } else { host.to_owned() }, port);
        let mut known = lock(&self.nodes.known);
        if !known.contains(&node) {
            known.push(node.clone());
        }
        *lock(&self.owner) = Some(node);
    }

    /// The node that has the stream, as far as is known.
    pub(super) fn owner(&self) -> Option<Server> {
        lock(&self.owner).as_ref().map(|owner| self.nodes.server(owner))
    }

    /// All nodes, beginning with the one that has the stream.
    pub(super) fn in_turn(&self) -> Vec<Server> {
        let owner = lock(&self.owner).clone();
        let known = lock(&self.nodes.known).clone();
        let others = known.iter().filter(|&node| Some(node) != owner.as_ref());
        owner.iter().chain(others).map(|node| self.nodes.server(node)).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(answer: &str) -> Vec<(String, u16, Option<String>)> {
        let config = Config::from_url_clustered("redis-cluster://seed:1").expect("a URL");
        let route = Route::new(Nodes::of(&config).expect("a cluster"));
        route.moved(answer);
        let plain = |server: Server| {
            (server.host.to_string(), server.port, server.tls_server_name.map(|name| name.to_string()))
        };
        route.in_turn().into_iter().map(plain).collect()
    }

    #[test]
    fn the_node_that_was_named_comes_first_under_the_name_of_the_cluster() {
        let seed = ("seed".to_owned(), 1, None);
        let by_address = |host: &str| (host.to_owned(), 7001, Some("seed".to_owned()));
        assert_eq!(after("MOVED"), std::slice::from_ref(&seed));
        assert_eq!(after("MOVED 866 10.0.0.2:7001"), [by_address("10.0.0.2"), seed.clone()]);
        assert_eq!(after("MOVED 866 ::1:7001"), [by_address("::1"), seed.clone()]);
        assert_eq!(after("MOVED 866 a.example:7001"), [("a.example".to_owned(), 7001, None), seed.clone()]);
        assert_eq!(after("MOVED 866 :7001"), [("seed".to_owned(), 7001, None), seed]);
    }
}
