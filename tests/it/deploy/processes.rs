//! The processes that deploy/ starts, read out of units, compose file and Kubernetes' manifests: which command, under
//! which variables, and how long it is given to end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use subiteya::config::Written;

pub(super) struct Process {
    /// Where it stands, for messages.
    pub(super) place: String,
    pub(super) args: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    /// How long it has after SIGTERM; None: it ends by itself.
    pub(super) grace: Option<Duration>,
    /// Where secrets are laid for it, and the names of those that are.
    pub(super) secrets: (String, Vec<String>),
    /// What stands in the file that SUBITEYA_STREAMS names.
    pub(super) streams: Option<String>,
}

pub(super) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect(path)
}

/// Every document of a YAML file, with anchors and merge keys resolved.
pub(super) fn yaml(path: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&text(path)).expect(path)
}

/// Every document of every manifest.
pub(super) fn manifests() -> Vec<Value> {
    files("deploy/kubernetes", "yaml").iter().flat_map(|path| yaml(path)).collect()
}

pub(super) fn files(folder: &str, extension: &str) -> Vec<String> {
    let listed = std::fs::read_dir(root().join(folder)).expect(folder).map(|entry| entry.expect("an entry").path());
    let mut found: Vec<String> = listed
        .filter(|path| path.extension().is_some_and(|end| end == extension))
        .map(|path| format!("{folder}/{}", path.file_name().and_then(|name| name.to_str()).expect("a name")))
        .collect();
    found.sort();
    found
}

pub(super) fn all() -> Vec<Process> {
    [units(), services(), containers()].into_iter().flatten().collect()
}

fn units() -> Vec<Process> {
    files("deploy/systemd", "service").iter().map(|path| unit(path)).collect()
}

fn unit(path: &str) -> Process {
    let unit = text(path);
    let values = |key: &str| {
        let prefix = format!("{key}=");
        unit.lines().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect::<Vec<_>>()
    };
    let common = text("deploy/systemd/environment.example");
    let common = common.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned);
    let [command] = values("ExecStart").try_into().expect("one command");
    Process {
        place: path.to_owned(),
        args: command.split_whitespace().skip(1).map(str::to_owned).collect(),
        env: common.chain(values("Environment")).map(|line| pair(&line)).collect(),
        grace: values("TimeoutStopSec").first().map(|text| text.parse::<Written>().expect("a duration").0),
        secrets: ("%d/".to_owned(), values("LoadCredential").iter().map(|line| before(line, ':')).collect()),
        streams: None,
    }
}

fn pair(line: &str) -> (String, String) {
    let (name, value) = line.split_once('=').expect("NAME=value");
    (name.to_owned(), value.to_owned())
}

fn before(text: &str, end: char) -> String {
    text.split(end).next().unwrap_or_default().to_owned()
}

fn services() -> Vec<Process> {
    let compose = yaml("deploy/compose.yaml").remove(0);
    let ours = object(&compose["services"]).filter(|(_, service)| !service["build"].is_null());
    ours.map(|(name, service)| Process {
        place: format!("compose.yaml {name}"),
        args: strings(&service["command"]),
        env: object(&service["environment"])
            .map(|(name, value)| (name.clone(), interpolated(value.as_str().expect("text"))))
            .collect(),
        grace: (name != "migrate").then(|| {
            let grace = service["stop_grace_period"].as_str().expect("a duration");
            grace.parse::<Written>().expect("a duration").0
        }),
        secrets: ("/run/secrets/".to_owned(), strings(&service["secrets"])),
        streams: Some(text("deploy/streams.toml")),
    })
    .collect()
}

/// `${NAME:?message}` is somebody's value, `${NAME:-default}` the default.
fn interpolated(value: &str) -> String {
    let Some(inner) = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else { return value.to_owned() };
    inner.split_once(":-").map_or("given", |(_, default)| default).to_owned()
}

fn containers() -> Vec<Process> {
    let manifests = manifests();
    let named = |kind: &str, name: &str| {
        manifests.iter().find(|one| one["kind"] == kind && one["metadata"]["name"] == name).expect(name).clone()
    };
    let pods = manifests.iter().filter(|one| !one["spec"]["template"].is_null());
    pods.map(|manifest| {
        let pod = &manifest["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let shared = container["envFrom"][0]["configMapRef"]["name"].as_str().expect("a config map");
        let shared = named("ConfigMap", shared)["data"].clone();
        let own = container["env"].as_array().expect("a list").iter();
        let own = own.map(|one| (one["name"].clone(), one["value"].clone()));
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let volume = |name: &str| {
            let volumes = pod["volumes"].as_array().expect("a list");
            volumes.iter().find(|volume| volume["name"] == name).expect("a volume").clone()
        };
        let secret = named("Secret", &text(&volume("secrets")["secret"]["secretName"]));
        let streams = named("ConfigMap", &text(&volume("streams")["configMap"]["name"]));
        Process {
            place: format!("kubernetes {} {}", manifest["kind"], manifest["metadata"]["name"]),
            args: strings(&container["args"]),
            env: object(&shared)
                .map(|(name, value)| (name.clone(), text(value)))
                .chain(own.map(|(name, value)| (text(&name), text(&value))))
                .collect(),
            grace: pod["terminationGracePeriodSeconds"].as_u64().map(Duration::from_secs),
            secrets: (
                "/run/secrets/subiteya/".to_owned(),
                object(&secret["stringData"]).map(|(name, _)| name.clone()).collect(),
            ),
            streams: Some(text(&streams["data"]["streams.toml"])),
        }
    })
    .collect()
}

pub(super) fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().expect("an object").iter()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().expect("a list").iter().map(|one| one.as_str().expect("text").to_owned()).collect()
}

impl Process {
    /// Its environment on this machine: the files that it names are made in `folder`.
    pub(super) fn environment(&self, folder: &Path) -> BTreeMap<String, String> {
        let place = |name: &str, content: &str| {
            let path = folder.join(name);
            std::fs::write(&path, content).expect("written");
            path.to_str().expect("a path").to_owned()
        };
        let here = |(name, value): (&String, &String)| {
            let value = match (name.strip_suffix("_FILE"), name.as_str(), &self.streams) {
                (Some(secret), _, _) => {
                    let (mounted, there) = &self.secrets;
                    assert_eq!(value.strip_prefix(mounted.as_str()), Some(secret), "{}: {name}", self.place);
                    assert!(there.iter().any(|one| one == secret), "{}: nobody gives it {secret}", self.place);
                    place(secret, sample(secret))
                }
                (None, "SUBITEYA_STREAMS", Some(streams)) => place("streams.toml", streams),
                _ => value.clone(),
            };
            (name.clone(), value)
        };
        self.env.iter().map(here).collect()
    }
}

fn sample(secret: &str) -> &'static str {
    match secret {
        "DATABASE_URL" => "postgres://subiteya:pw@db.example:5432/subiteya\n",
        "REDIS_URL" => "rediss://default:pw@redis.example:6379\n",
        "ENCRYPTION_KEY" => "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n",
        _ => "secret\n",
    }
}
