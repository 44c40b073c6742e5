//! deploy/ held to the program: its variables, commands, routes, limits of time and exit codes are those that there are.
//! Whether the files are well-formed is scripts/deploy-check.sh's.

mod processes;
mod watching;

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};
use subiteya::app::Exit;
use subiteya::config::{Config, Environment, Role};
use subiteya::event::Stage;

use self::processes::{Process, all, files, manifests, root, text, yaml};
use crate::fixture::Server;

fn role(process: &Process) -> Role {
    match process.args[0].as_str() {
        "serve" => Role::Serve,
        "work" => Role::Work,
        "migrate" => Role::Migrate,
        other => panic!("{}: {other}", process.place),
    }
}

fn config(process: &Process) -> Config {
    let folder = tempfile::tempdir().expect("a folder");
    let env: Environment = process.environment(folder.path()).into_iter().collect();
    Config::load(role(process), &env).unwrap_or_else(|problems| panic!("{}: {problems:?}", process.place))
}

#[test]
fn every_process_of_units_compose_and_kubernetes_has_a_sound_configuration() {
    let processes = all();
    assert_eq!(processes.len(), 12, "three sets of serve, edit, publish and migrate");
    for process in &processes {
        config(process);
    }
}

#[test]
fn every_command_is_one_of_the_program() {
    for process in all() {
        let folder = tempfile::tempdir().expect("a folder");
        // With one value wrong it ends before it touches anything; a command that isn't one would end with 2.
        let output = Command::new(env!("CARGO_BIN_EXE_subiteya"))
            .args(&process.args)
            .env_clear()
            .envs(process.environment(folder.path()))
            .env("PORT", "wrong")
            .output()
            .expect("it runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{}: {errors}", process.place);
        assert!(errors.lines().count() == 1 && errors.contains("PORT"), "{}: {errors}", process.place);
    }
}

#[test]
fn every_command_that_the_pages_name_is_one_of_the_program() {
    let mut commands = BTreeSet::new();
    for page in files("docs", "md") {
        let page = text(&page);
        for (nth, part) in page.split("```").enumerate() {
            if nth % 2 == 0 {
                let code = part.split('`').skip(1).step_by(2);
                commands.extend(code.filter_map(|code| code.strip_prefix("subiteya ")).map(str::to_owned));
            } else {
                let lines = part.lines().filter_map(|line| line.split_once("-- subiteya "));
                commands.extend(lines.map(|(_, command)| command.to_owned()));
            }
        }
    }
    assert!(commands.contains("doctor"));
    for command in commands {
        let args = command.split_whitespace();
        let (port, url) = (("PORT", "wrong"), ("SUBITEYA_URL", "wrong"));
        let output = Command::new(env!("CARGO_BIN_EXE_subiteya")).args(args).env_clear().envs([port, url]).output();
        assert_eq!(output.expect("it runs").status.code(), Some(78), "{command}");
    }
}

#[test]
fn every_variable_is_one_that_the_program_reads() {
    let sources = files("src/config", "rs").into_iter().chain(files("src/cli", "rs"));
    let mut known = BTreeSet::new();
    for source in sources {
        // Names stand as whole literals; with every other piece between quotation marks come pieces of code too, which no
        // variable looks like.
        known.extend(text(&source).split('"').filter(|word| is_name(word)).map(str::to_owned));
    }
    assert!(known.contains("REDIS_URL") && known.contains("PORT"));
    for process in all() {
        for name in process.env.keys() {
            let plain = name.strip_suffix("_FILE").unwrap_or(name);
            assert!(known.contains(plain), "{}: {name}", process.place);
        }
    }
}

fn is_name(word: &str) -> bool {
    word.len() > 3 && word.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_')
}

#[test]
fn a_stop_leaves_time_for_the_deadline_and_for_handing_back() {
    for process in all() {
        let deadline = config(&process).shutdown;
        let Some(grace) = process.grace else {
            assert_eq!(role(&process), Role::Migrate, "{}: how long does it have?", process.place);
            continue;
        };
        assert!(grace >= deadline + std::time::Duration::from_secs(20), "{}: {grace:?}, {deadline:?}", process.place);
    }
}

#[test]
fn a_wrong_configuration_is_not_tried_again() {
    let code = Exit::Configuration as i32;
    for name in ["serve", "edit@", "publish@"] {
        let unit = text(&format!("deploy/systemd/subiteya-{name}.service"));
        assert!(unit.contains(&format!("\nRestartPreventExitStatus={code}\n")), "{name}");
        assert!(unit.contains("\nKillMode=mixed\n"), "{name}: children are ended by their parent");
    }
    let jobs = yaml("deploy/kubernetes/migrate.yaml");
    assert_eq!(jobs[0]["spec"]["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"], json!([code]));
}

#[test]
fn the_secrets_that_the_script_makes_are_those_of_the_compose_file_and_sound() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("secrets.sh");
    std::fs::copy(root().join("deploy/secrets.sh"), &script).expect("copied");
    let run = |secret: &str| Command::new(&script).env("TIKTOK_CLIENT_SECRET", secret).output().expect("it runs");
    assert_eq!(run("").status.code(), Some(Exit::Usage as i32), "TikTok's secret is nobody's to make up");
    assert!(run("from-the-portal").status.success());
    let made = folder.path().join("secrets");
    let before = std::fs::read(made.join("ENCRYPTION_KEY")).expect("a key");
    assert!(run("another").status.success());
    assert_eq!(std::fs::read(made.join("ENCRYPTION_KEY")).expect("a key"), before, "what is there stays");

    let compose = yaml("deploy/compose.yaml").remove(0);
    for (name, secret) in processes::object(&compose["secrets"]) {
        assert_eq!(secret["file"], format!("./secrets/{name}"));
        assert!(made.join(name).is_file(), "{name}");
    }
    let serve = all().into_iter().find(|process| process.place == "compose.yaml serve").expect("serve");
    let env = serve.environment(folder.path()).into_iter().map(|(name, value)| match name.strip_suffix("_FILE") {
        Some(secret) => (name.clone(), made.join(secret).to_str().expect("a path").to_owned()),
        None => (name, value),
    });
    Config::load(Role::Serve, &env.collect()).expect("sound");
}

fn scaled_objects() -> Vec<Value> {
    manifests().into_iter().filter(|one| one["kind"] == "ScaledObject").collect()
}

#[test]
fn workers_are_scaled_by_what_they_are_and_by_names_that_there_are() {
    let worker = |stage: &str| {
        let workers = all().into_iter().filter(|process| process.place.contains("Deployment"));
        workers.into_iter().find(|process| process.args == ["work", stage]).expect("a deployment")
    };
    for scaled in scaled_objects() {
        let name = scaled["metadata"]["name"].as_str().expect("a name");
        let stage = Stage::STREAMED.into_iter().find(|stage| stage.as_str() == name).expect("a stage");
        let worker = worker(name);
        assert_eq!(scaled["spec"]["scaleTargetRef"]["name"], name);
        assert!(worker.place.contains(&format!("\"{name}\"")), "{}", worker.place);
        let trigger = &scaled["spec"]["triggers"][0]["metadata"];
        if scaled["spec"]["triggers"][0]["type"] == "redis-streams" {
            assert_eq!(trigger["stream"].as_str(), stage.stream());
            assert_eq!(trigger["consumerGroup"], name);
            continue;
        }
        let slots = config(&worker).stages.of(stage).concurrency;
        assert_eq!(trigger["targetValue"], slots.to_string(), "{name}: one pod for as many as it has slots");
        assert_eq!(trigger["valueLocation"], format!("streams.#(group==\"{name}\").demand"));
        let url: url::Url = trigger["url"].as_str().expect("a url").parse().expect("a url");
        let serve = all().into_iter().find(|process| process.place == "kubernetes \"Deployment\" \"serve\"");
        let origins = config(&serve.expect("serve")).http.allowed_origins;
        assert!(origins.contains(&url.origin().ascii_serialization()), "its Host is foreign: {url}");
    }
}

#[tokio::test]
async fn every_route_that_is_asked_is_there_and_demand_is_found_in_any_order() {
    let server = Server::start().await;
    server.video().await;
    let mut routes = BTreeSet::from(["/readyz".to_owned()]);
    assert!(text("deploy/compose.yaml").contains("http://127.0.0.1:3000/readyz"));
    let serve = yaml("deploy/kubernetes/serve.yaml").remove(0);
    let container = &serve["spec"]["template"]["spec"]["containers"][0];
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        routes.insert(container[probe]["httpGet"]["path"].as_str().expect(probe).to_owned());
    }
    let metadata = |scaled: &Value| scaled["spec"]["triggers"][0]["metadata"].clone();
    let triggers: Vec<Value> = scaled_objects().iter().map(metadata).filter(|one| !one["url"].is_null()).collect();
    assert_eq!(triggers.len(), 2);
    routes.extend(triggers.iter().map(|one| {
        let url: url::Url = one["url"].as_str().expect("a url").parse().expect("a url");
        url.path().to_owned()
    }));
    for route in routes {
        assert_eq!(server.get(&server.viewer, &route).await.status(), 200, "{route}");
    }

    let answer = server.get(&server.viewer, "/api/monitor/streams").await.text().await.expect("text");
    let mut reversed: Value = serde_json::from_str(&answer).expect("json");
    reversed["streams"].as_array_mut().expect("a list").reverse();
    for answer in [answer, reversed.to_string()] {
        let number = |trigger: &Value| {
            let found = gjson::get(&answer, trigger["valueLocation"].as_str().expect("a path"));
            assert!(found.kind() == gjson::Kind::Number, "{trigger} in {answer}");
            found.i64()
        };
        assert_eq!(triggers.iter().map(number).collect::<Vec<_>>(), [1, 0], "edit and publish in {answer}");
    }
}

/// systemd itself isn't here; what its units and the line in docs/running.md have in common is.
#[test]
fn a_command_beside_the_units_finds_their_variables_and_secrets() {
    let page = text("docs/running.md");
    let line = page.split("```").find(|block| block.contains("systemd-run")).expect("the line").replace("\\\n", " ");
    let unit = text("deploy/systemd/subiteya-serve.service");
    let set = |name: &str| unit.lines().find_map(|line| line.strip_prefix(name)).expect("a setting").to_owned();
    let data = set("Environment=SUBITEYA_DATA=");
    for part in [
        format!("--uid={} --gid={}", set("User="), set("Group=")),
        format!("--property=EnvironmentFile={}", set("EnvironmentFile=")),
        format!("--setenv=SUBITEYA_DATA={data}"),
        format!("--working-directory={data}"),
    ] {
        assert!(line.contains(&part), "{part}: {line}");
    }
    assert!(unit.contains("LoadCredential=REDIS_URL:/etc/subiteya/credentials/REDIS_URL"));
    assert!(
        line.contains("/etc/subiteya/credentials/*") && line.contains("LoadCredential=${file##*/}:$file"),
        "{line}"
    );

    let script = line.split('\'').nth(1).expect("a script");
    let script = script.replace("/usr/local/bin/subiteya", env!("CARGO_BIN_EXE_subiteya"));
    let folder = tempfile::tempdir().expect("a folder");
    let secrets = folder.path().join("credentials");
    std::fs::create_dir(&secrets).expect("a folder");
    let database = format!("sqlite://{}", folder.path().join("made.db").display());
    for (name, value) in [("DATABASE_URL", &*database), ("AWS_SECRET_ACCESS_KEY", "x"), ("TIKTOK_CLIENT_SECRET", "x")] {
        std::fs::write(secrets.join(name), value).expect("written");
    }
    let serve = all().into_iter().find(|process| process.place.ends_with("subiteya-serve.service")).expect("serve");
    let plain = serve.env.iter().filter(|(name, _)| !name.ends_with("_FILE") && *name != "SUBITEYA_DATA");
    let output = Command::new("sh")
        .args(["-c", &script, "subiteya", "keys", "create", "--user", "you"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(plain)
        .env("CREDENTIALS_DIRECTORY", &secrets)
        .current_dir(folder.path())
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!output.stdout.is_empty() && folder.path().join("made.db").is_file());
}
