//! Wrong configuration as an operator would write it: each ends in one message that says what to do and holds no secret.

use std::io::Write;
use std::time::Duration;

use subiteya::config::{Config, DatabaseUrl, Environment, LogFormat, Problem, Rate, Role, StoreConfig};

const KEY: &str = "0123456789abcdef0123456789abcdef";
const SOUND: [(&str, &str); 2] = [("REDIS_URL", "redis://127.0.0.1:6379"), ("ENCRYPTION_KEY", KEY)];

fn load(role: Role, pairs: &[(&str, &str)]) -> Result<Config, Vec<Problem>> {
    Config::load(role, &pairs.iter().copied().collect())
}

/// The one message that `serve` gives when this is laid over a sound environment.
fn problem(pairs: &[(&str, &str)]) -> String {
    let all: Vec<_> = SOUND.iter().chain(pairs).copied().collect();
    one(load(Role::Serve, &all).expect_err("it is wrong"))
}

fn one(problems: Vec<Problem>) -> String {
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].to_string()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("file");
    file.write_all(text.as_bytes()).expect("written");
    file
}

/// The one message that this `streams.toml` gives.
fn streams_problem(text: &str) -> String {
    let file = file(text);
    problem(&[("SUBITEYA_STREAMS", file.path().to_str().expect("path"))])
}

fn assert_says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is missing in: {message}");
    }
    assert!(!message.contains('\n'), "more than one line: {message}");
}

#[test]
fn the_defaults_are_the_old_systems_figures() {
    let config = load(Role::Up, &[]).expect("sound");
    let (edit, publish) = (&config.stages.edit, &config.stages.publish);
    assert_eq!((edit.concurrency, publish.concurrency), (2, 1));
    assert_eq!((edit.attempts, publish.attempts), (2, 2));
    assert_eq!(edit.limit, Some(Rate { count: 3, window: Duration::from_secs(60) }));
    assert_eq!(publish.limit, edit.limit);
    assert_eq!(publish.limit_per_account, Some(Rate { count: 1, window: Duration::from_secs(300) }));
    assert_eq!(edit.limit_per_account, None);
    assert_eq!((edit.lease, edit.stalled_check), (Duration::from_secs(30), Duration::from_secs(300)));
    assert_eq!(config.redis.monthly_commands, Some(500_000));
    assert_eq!((config.http.host.as_str(), config.http.port), ("127.0.0.1", 3000));
    assert_eq!(config.http.max_upload, 4_000_000_000);
    assert!(config.redis.enabled && config.redis.url.is_none() && config.keys.is_none() && config.tiktok.is_none());
    assert!(matches!(config.database, DatabaseUrl::Sqlite(path) if path.ends_with("data/subiteya.db")));
    assert!(matches!(config.store, StoreConfig::Local(path) if path.ends_with("data/objects")));
}

#[test]
fn a_file_goes_over_the_defaults_and_the_environment_over_the_file_and_flags_over_both() {
    let file =
        file("[http]\nport = 4000\nhost = \"0.0.0.0\"\n[streams.\"video.edited\"]\nlimit = \"\"\nlease = \"3s\"\n");
    let streams = ("SUBITEYA_STREAMS", file.path().to_str().expect("path"));
    let mut env: Environment = [streams, ("PORT", "5000"), ("LOG_FORMAT", "json")].into_iter().collect();
    let config = Config::load(Role::Up, &env).expect("sound");
    assert_eq!((config.http.host.as_str(), config.http.port), ("0.0.0.0", 5000));
    assert_eq!((config.stages.publish.limit, config.stages.publish.lease), (None, Duration::from_secs(3)));
    assert_eq!(config.stages.publish.concurrency, 1, "what the file leaves out stays");
    assert_eq!(config.log.format, LogFormat::Json);
    env.set_by_flag("PORT", "6000");
    assert_eq!(Config::load(Role::Up, &env).expect("sound").http.port, 6000);
}

#[test]
fn any_variable_can_be_read_from_a_file() {
    let url = file("redis://:hush@redis.example:6379\n");
    let key = file(&format!("{KEY}\n"));
    let path = |file: &tempfile::NamedTempFile| file.path().to_str().expect("path").to_owned();
    let config = load(Role::Work, &[("REDIS_URL_FILE", &path(&url)), ("ENCRYPTION_KEY_FILE", &path(&key))]);
    let config = config.expect("sound");
    assert_eq!(config.redis.url.expect("a url").expose(), "redis://:hush@redis.example:6379");
    assert_eq!(config.keys.expect("a key").iter().next().expect("one").as_slice(), KEY.as_bytes());
    assert_says(&problem(&[("PORT_FILE", "/nowhere/port")]), &["PORT_FILE", "can be read"]);
    assert_says(&problem(&[("REDIS_URL_FILE", &path(&url))]), &["REDIS_URL", "REDIS_URL_FILE", "unset one"]);
}

#[test]
fn serve_and_work_cannot_do_without_redis_and_a_key() {
    for role in [Role::Serve, Role::Work] {
        let message = one(load(role, &[("ENCRYPTION_KEY", KEY)]).expect_err("no Redis"));
        assert_says(&message, &["REDIS_URL", "not set", "REDIS_URL=redis://", "subiteya up"]);
        let message = one(load(role, &SOUND[..1]).expect_err("no key"));
        assert_says(&message, &["ENCRYPTION_KEY", "32 bytes", "openssl rand -base64 32"]);
        assert_eq!(load(role, &[]).expect_err("neither").len(), 2);
    }
    for role in [Role::Up, Role::Migrate, Role::Doctor, Role::Sandbox, Role::Stores] {
        load(role, &[]).expect("sound");
    }
}

#[test]
fn a_disabled_redis_need_not_be_given() {
    let config = load(Role::Serve, &[("ENABLE_REDIS", "false"), ("ENCRYPTION_KEY", KEY)]).expect("sound");
    assert!(!config.redis.enabled);
    load(Role::Work, &[("ENABLE_REDIS", "false")]).expect("a worker that will not start needs nothing");
    assert_says(&problem(&[("ENABLE_REDIS", "maybe")]), &["ENABLE_REDIS", "true or false"]);
}

#[test]
fn a_redis_url_that_the_client_would_misread_is_refused() {
    for url in [
        "localhost",
        "localhost:6379",
        "127.0.0.1:6379",
        "http://redis.example",
        "https://name.upstash.io",
        "redis-sentinel://sentinel:26379",
        "redis://",
        "rediss://:pass word#x@host:99999",
        "redis://host/db",
        "redis+unix://",
        "hunter2",
        "redis//host",
    ] {
        assert_says(&problem(&[("REDIS_URL", url)]), &["REDIS_URL", "expected", "REDIS_URL=redis://127.0.0.1:6379"]);
    }
    assert_says(&problem(&[("REDIS_URL", "http://redis.example")]), &["http://", "rediss"]);
    for url in [
        "redis://localhost",
        "redis://:password@host:6379/0",
        "rediss://default:token@name.upstash.io:6379",
        "redis+unix:///run/redis/redis.sock",
        "redis-cluster://a:7000?node=b:7001",
        "rediss-cluster://a:7000",
        "valkey://host",
    ] {
        load(Role::Serve, &[("REDIS_URL", url), SOUND[1]]).unwrap_or_else(|problems| panic!("{url}: {problems:?}"));
    }
}

#[test]
fn a_private_authority_is_for_tls_and_in_pem() {
    let pem = crate::support::kinds::Authority::new().pem();
    let tls = ("REDIS_URL", "rediss://redis.example");
    let url = load(Role::Serve, &[tls, ("REDIS_CA", &pem), SOUND[1]]).expect("sound").redis.url.expect("a url");
    assert_eq!(url.authorities().len(), 1);
    let named = file(&format!("{pem}{pem}"));
    let named = named.path().to_str().expect("path");
    let url = load(Role::Serve, &[tls, ("REDIS_CA_FILE", named), SOUND[1]]).expect("sound").redis.url.expect("a url");
    assert_eq!(url.authorities().len(), 2);
    for wrong in ["none", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &pem[..pem.len() / 2]] {
        assert_says(&problem(&[tls, ("REDIS_CA", wrong)]), &["REDIS_CA", "expected", "REDIS_CA_FILE="]);
    }
    assert_says(&problem(&[("REDIS_CA", &pem)]), &["REDIS_CA", "rediss://"]);
}

#[test]
fn an_encryption_key_of_31_bytes_is_refused_by_its_length() {
    let message = problem(&[("ENCRYPTION_KEY", &KEY[..31])]);
    assert_says(&message, &["ENCRYPTION_KEY", "32 bytes, got 31", "openssl rand"]);
    assert!(!message.contains(&KEY[..8]));
    let file = file(&format!("{}\n", &KEY[..31]));
    let from_file = [("ENCRYPTION_KEY_FILE", file.path().to_str().expect("path")), SOUND[0]];
    assert_says(&one(load(Role::Serve, &from_file).expect_err("too short")), &["32 bytes, got 31"]);
}

#[test]
fn wrong_variables_are_named_with_what_was_expected() {
    for (name, value, expected) in [
        ("DATABASE_URL", "mysql://user:hunter2@host/db", "sqlite:// or postgres://"),
        ("DATABASE_URL", "subiteya.db", "sqlite:// or postgres://"),
        ("DATABASE_URL", "sqlite://", "path of a file"),
        ("DATABASE_URL", "sqlite::memory:", "lost with its process"),
        ("DATABASE_URL", "postgres://user:hunter2@host", "name of a database"),
        ("DATABASE_URL", "postgres://u:hunter2@h/d?sslmod=require", "\"sslmod\" is not known (is sslmode meant?)"),
        ("DATABASE_URL", "postgres://u:hunter2@h/d?sslmode=requier", "sslmode is not known (is require meant?)"),
        ("DATABASE_URL", "postgres://h/d?user=u&password=hunter2&wrong=hunter2", "expected sslmode, sslrootcert"),
        ("DATABASE_URL", "sqlite:///tmp/x.db?mode=ro", "takes no parameters"),
        ("PORT", "http", "0 to 65535"),
        ("PORT", "65536", "0 to 65535"),
        ("HOST", "http://localhost", "HOST=127.0.0.1"),
        ("SUBITEYA_ALLOWED_ORIGINS", "*", "https://studio.example"),
        ("SUBITEYA_ALLOWED_ORIGINS", "https://studio.example/page", "no path"),
        ("TIKTOK_API_URL", "open.tiktokapis.com", "TIKTOK_API_URL=https://open.tiktokapis.com"),
        ("TIKTOK_API_URL", "https://user:hunter2@host", "without credentials"),
        ("TIKTOK_AUTH_URL", "ftp://www.tiktok.com", "https://"),
        ("TIKTOK_CLIENT_KEY", "aw123", "TIKTOK_CLIENT_SECRET"),
        ("TIKTOK_CLIENT_SECRET", "hunter2", "TIKTOK_CLIENT_KEY"),
        ("SUBITEYA_STREAMS", "/nowhere/streams.toml", "can be read"),
        ("LOG_FORMAT", "xml", "text or json"),
        ("RUST_LOG", "subiteya=loud", "RUST_LOG=info"),
    ] {
        assert_says(&problem(&[(name, value)]), &[name, expected]);
    }
}

#[test]
fn s3_needs_its_credentials_together_and_an_endpoint_that_is_one() {
    let message = problem(&[("S3_BUCKET", "videos"), ("AWS_ACCESS_KEY_ID", "AKIA")]);
    assert_says(&message, &["AWS_SECRET_ACCESS_KEY", "S3_BUCKET is set"]);
    let both = [("S3_BUCKET", "videos"), ("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "hush")];
    let with = |name, value| both.into_iter().chain([(name, value)]).collect::<Vec<_>>();
    assert_says(&problem(&with("AWS_ENDPOINT_URL", "minio:9000")), &["AWS_ENDPOINT_URL", "http://"]);
    assert_says(&problem(&with("S3_BUCKET", "s3://videos")), &["S3_BUCKET", "name of a bucket"]);
    let config = load(Role::Up, &with("AWS_ENDPOINT_URL", "http://minio:9000")).expect("sound");
    assert!(matches!(config.store, StoreConfig::S3(s3) if s3.region == "us-east-1" && s3.endpoint.is_some()));
}

#[test]
fn an_unknown_key_stream_or_section_names_the_known_ones() {
    let message = streams_problem("[streams.\"video.uploded\"]\nlimit = \"1/1m\"\n");
    assert_says(&message, &["unknown stream \"video.uploded\"", "video.uploaded", "video.edited"]);
    let message = streams_problem("[streams.\"video.edited\"]\nlimt = \"1/1m\"\n");
    assert_says(&message, &["unknown key \"limt\"", "[streams.\"video.edited\"]", "limit_per_account"]);
    assert_says(&streams_problem("[stream]\n"), &["unknown section \"stream\"", "shutdown, streams"]);
    assert_says(&streams_problem("redis = 3\n"), &["expected [redis] to be a section"]);
}

#[test]
fn wrong_figures_in_streams_toml_are_named_with_their_bounds() {
    for (section, line, expected) in [
        ("streams.\"video.uploaded\"", "lease = \"2s\"", "three renewals"),
        ("streams.\"video.uploaded\"", "lease = 30", "three renewals"),
        ("streams.\"video.uploaded\"", "concurrency = 0", "from 1 to 64"),
        ("streams.\"video.uploaded\"", "concurrency = \"2\"", "a whole number"),
        ("streams.\"video.uploaded\"", "attempts = 0", "from 1 to 100"),
        ("streams.\"video.uploaded\"", "attempts = -1", "from 1 to 100"),
        ("streams.\"video.uploaded\"", "limit = \"3\"", "3/1m"),
        ("streams.\"video.uploaded\"", "limit = \"0/1m\"", "3/1m"),
        ("streams.\"video.uploaded\"", "limit = 3", "3/1m"),
        ("streams.\"video.uploaded\"", "group = \"editors\"", "\"edit\", which is fixed"),
        ("streams.\"video.uploaded\"", "backoff = \"10\"", "a duration"),
        ("streams.\"video.edited\"", "limit_per_account = \"often\"", "3/1m"),
        ("streams.\"video.edited\"", "stalled_check = \"0s\"", "from \"1s\" to \"1d\""),
        ("streams.\"video.edited\"", "retain = \"for ever\"", "a duration"),
        ("redis", "block = \"0s\"", "from \"1ms\" to \"1h\""),
        ("redis", "block = \"2h\"", "from \"1ms\" to \"1h\""),
        ("redis", "monthly_commands = -5", "a whole number"),
        ("http", "max_upload = \"big\"", "4GB"),
        ("edit", "memory = \"1MB\"", "512MiB"),
    ] {
        let key = line.split(' ').next().expect("a key");
        let message = streams_problem(&format!("[{section}]\n{line}\n"));
        assert_says(&message, &[key, &format!("[{section}]"), expected]);
    }
}

#[test]
fn a_file_that_is_not_toml_is_told_by_its_line_and_not_quoted() {
    let message = streams_problem("[redis]\npassword = hunter2 or so\n");
    assert_says(&message, &["line 2", "not TOML"]);
    assert!(!message.contains("hunter2"));
}

#[test]
fn all_problems_come_at_once() {
    let problems = load(Role::Serve, &[("REDIS_URL", "localhost"), ("ENCRYPTION_KEY", "short"), ("PORT", "x")]);
    assert_eq!(problems.expect_err("three").len(), 3);
}

#[test]
fn no_message_and_no_debug_output_holds_a_secret() {
    const SECRET: &str = "hunter2";
    for (name, value) in [
        ("REDIS_URL", "hunter2"),
        ("REDIS_URL", "hunter2://x"),
        ("REDIS_URL", "http://:hunter2@host"),
        ("REDIS_URL", "redis://:hunter2@:1:2"),
        ("DATABASE_URL", "mysql://u:hunter2@h/d"),
        ("DATABASE_URL", "postgres://u:hunter2@h"),
        ("DATABASE_URL", "postgres://u:hunter2@h:x/d"),
        ("ENCRYPTION_KEY", "hunter2"),
        ("TIKTOK_CLIENT_SECRET", "hunter2"),
        ("AWS_ENDPOINT_URL", "http://u:hunter2@h"),
        ("TIKTOK_API_URL", "http://u:hunter2@h"),
    ] {
        let mut pairs = vec![SOUND[0], SOUND[1], ("S3_BUCKET", "videos"), (name, value)];
        pairs.extend([("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", SECRET)]);
        let problems = load(Role::Serve, &pairs).expect_err("wrong");
        assert!(!format!("{problems:?} {}", one(problems.clone())).contains(SECRET), "{name} is shown");
    }
    let config = load(
        Role::Serve,
        &[
            ("REDIS_URL", "rediss://u:hunter2@host"),
            ("DATABASE_URL", "postgres://u:hunter2@host/db"),
            ("ENCRYPTION_KEY", &format!("{SECRET}{}", &KEY[7..])),
            ("S3_BUCKET", "videos"),
            ("AWS_ACCESS_KEY_ID", "AKIA"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("TIKTOK_CLIENT_KEY", "aw123"),
            ("TIKTOK_CLIENT_SECRET", SECRET),
        ],
    )
    .expect("sound");
    assert!(!format!("{config:?}").contains(SECRET));
    assert_eq!(config.redis.url.expect("a url").shown(), "rediss://host");
    assert_eq!(config.database.shown(), "postgres://host/db");
}

#[test]
fn the_parameters_of_a_database_that_mean_something_are_taken() {
    for query in ["sslmode=verify-full&sslrootcert=/etc/ca.pem", "schema=subiteya", "host=/run/postgresql&options[a]=b"]
    {
        load(Role::Serve, &[&SOUND[..], &[("DATABASE_URL", &format!("postgres://u@h/d?{query}"))]].concat())
            .expect(query);
    }
}
