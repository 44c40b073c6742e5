//! A headless Chromium of a test's own, by the WebDriver protocol. Spoken directly: it is a dozen JSON requests, and the
//! crates for it bring second versions of `http`, `cookie` and `thiserror`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use subiteya::child::find;
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::servers::fetched;

/// How the protocol names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Generous: the machine may be busy with other things.
const SOON: Duration = Duration::from_secs(40);

pub(crate) struct Browser {
    driver: Child,
    session: String,
    http: reqwest::Client,
    origin: String,
    /// Its profile; by it its processes are known.
    folder: TempDir,
}

impl Browser {
    /// On the pages of this server, and with no way to any other host.
    pub(crate) async fn open(origin: &str) -> Self {
        let chromium = find(&["chromium", "chromium-browser", "google-chrome"]);
        let chromium = chromium.expect("Chromium is missing: run `make test-servers`");
        let program = find(&["chromedriver"]).expect("chromedriver is missing: run `make test-servers`");
        let folder = tempfile::tempdir().expect("a folder");
        let mut driver = Command::new(program)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let mut lines = BufReader::new(driver.stdout.take().expect("its output")).lines().map_while(Result::ok);
        let port =
            lines.find_map(|line| line.split_once("started successfully on port ").map(|(_, port)| port.to_owned()));
        let port = port.expect("a port").trim_end_matches('.').to_owned();
        // What it says from here on is read and forgotten, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let mut browser = Self { driver, session: String::new(), http, origin: origin.to_owned(), folder };
        let mut args = vec![
            "--headless=new".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--window-size=1280,900".to_owned(),
            "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1".to_owned(),
            format!("--user-data-dir={}", browser.folder.path().display()),
        ];
        if rustix::process::geteuid().is_root() {
            args.push("--no-sandbox".to_owned());
        }
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "binary": chromium, "args": args },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        } } });
        let base = format!("http://127.0.0.1:{port}/session");
        let made = browser.http.post(&base).json(&wanted).send().await.expect("an answer");
        let made: Value = made.json().await.expect("json");
        let id = made["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("no browser: {made}"));
        browser.session = format!("{base}/{id}");
        browser
    }

    async fn try_ask(&self, path: &str, body: Option<Value>) -> Result<Value, Value> {
        let url = format!("{}{path}", self.session);
        let request = match body {
            Some(body) => self.http.post(url).json(&body),
            None => self.http.get(url),
        };
        let answer = request.send().await.expect("an answer");
        let good = answer.status().is_success();
        let value = answer.json::<Value>().await.expect("json")["value"].clone();
        if good { Ok(value) } else { Err(value) }
    }

    async fn ask(&self, path: &str, body: Value) -> Value {
        self.try_ask(path, Some(body)).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(crate) async fn go(&self, path: &str) {
        self.ask("/url", json!({ "url": format!("{}{path}", self.origin) })).await;
    }

    /// As a person signs in.
    pub(crate) async fn sign_in(&self, key: &str) {
        self.go("/sign-in").await;
        self.write("input[name=key]", key).await;
        self.press("Sign in").await;
        self.until("signed in", "return location.pathname !== '/sign-in'").await;
    }

    pub(crate) async fn path(&self) -> String {
        self.js("return location.pathname").await.as_str().expect("a path").to_owned()
    }

    pub(crate) async fn js(&self, script: &str) -> Value {
        self.ask("/execute/sync", json!({ "script": script, "args": [] })).await
    }

    async fn element(&self, using: &str, value: &str) -> String {
        let wanted = json!({ "using": using, "value": value });
        let mut found = Value::Null;
        eventually(&format!("{value} is there"), SOON, async || {
            self.try_ask("/element", Some(wanted.clone())).await.is_ok()
        })
        .await;
        found = self.try_ask("/element", Some(wanted)).await.unwrap_or(found);
        found[ELEMENT].as_str().unwrap_or_else(|| panic!("{value} went away")).to_owned()
    }

    async fn click_on(&self, using: &str, value: &str) {
        eventually(&format!("{value} can be clicked"), SOON, async || {
            let element = self.element(using, value).await;
            self.try_ask(&format!("/element/{element}/click"), Some(json!({}))).await.is_ok()
        })
        .await;
    }

    pub(crate) async fn click(&self, css: &str) {
        self.click_on("css selector", css).await;
    }

    /// The button, or the link, that says so; while a dialog is open, the dialog's.
    pub(crate) async fn press(&self, text: &str) {
        let named = format!("[contains(normalize-space(.), '{text}')][not(@disabled)]");
        self.click_on(
            "xpath",
            &format!("//dialog[@open]//button{named} | //*[self::a or self::button]{named}[not(//dialog[@open])]"),
        )
        .await;
    }

    /// Into an input; a file's path into one for files.
    pub(crate) async fn write(&self, css: &str, text: &str) {
        let element = self.element("css selector", css).await;
        self.ask(&format!("/element/{element}/value"), json!({ "text": text })).await;
    }

    pub(crate) async fn clear(&self, css: &str) {
        let element = self.element("css selector", css).await;
        self.ask(&format!("/element/{element}/clear"), json!({})).await;
    }

    pub(crate) async fn choose(&self, css: &str, file: &Path) {
        self.write(css, file.to_str().expect("a path")).await;
    }

    pub(crate) async fn text(&self, css: &str) -> String {
        let element = self.element("css selector", css).await;
        let text = self.try_ask(&format!("/element/{element}/text"), None).await.expect("its text");
        text.as_str().expect("text").to_owned()
    }

    /// Waits until the script answers true.
    pub(crate) async fn until(&self, what: &str, script: &str) {
        eventually(what, SOON, async || {
            let body = json!({ "script": script, "args": [] });
            self.try_ask("/execute/sync", Some(body)).await == Ok(Value::Bool(true))
        })
        .await;
    }

    /// Waits until the page says so.
    pub(crate) async fn sees(&self, text: &str) {
        let text = json!(text);
        self.until(&format!("the page says {text}"), &format!("return document.body.innerText.includes({text})")).await;
    }

    pub(crate) async fn sees_no(&self, text: &str) {
        let text = json!(text);
        self.until(&format!("the page says no {text}"), &format!("return !document.body.innerText.includes({text})"))
            .await;
    }

    async fn devtools(&self, command: &str, params: Value) {
        self.ask("/goog/cdp/execute", json!({ "cmd": command, "params": params })).await;
    }

    /// `light` or `dark`, on a screen of this width.
    pub(crate) async fn look(&self, theme: &str, width: u32) {
        let screen = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", screen).await;
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": theme }] });
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// What axe-core finds serious or worse: rule and element.
    pub(crate) async fn barriers(&self) -> Vec<String> {
        let axe = std::fs::read_to_string(fetched("axe.min.js")).expect("axe-core");
        self.js(&format!("if (!window.axe) {{ {axe} }}")).await;
        let script = "const done = arguments[0];
            axe.run(document, { resultTypes: ['violations'] }).then((found) => done(found.violations
                .filter((one) => ['serious', 'critical'].includes(one.impact))
                .flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.html.slice(0, 120)} ${node.failureSummary}`))),
                (error) => done([String(error)]))";
        let found = self.ask("/execute/async", json!({ "script": script, "args": [] })).await;
        found.as_array().expect("a list").iter().filter_map(|one| one.as_str().map(str::to_owned)).collect()
    }

    /// Into whatever has the focus.
    pub(crate) async fn type_keys(&self, keys: &str) {
        let keys = keys.chars().flat_map(|key| ["keyDown", "keyUp"].map(|what| json!({ "type": what, "value": key })));
        let keys: Vec<Value> = keys.collect();
        self.ask("/actions", json!({ "actions": [{ "type": "key", "id": "keys", "actions": keys }] })).await;
    }

    /// Tab by Tab to what the script finds of the focused element, which has to show that it has the focus.
    pub(crate) async fn tab_to(&self, what: &str, script: &str) {
        for _ in 0..60 {
            self.type_keys("\u{e004}").await;
            if self.js(&format!("const at = document.activeElement; return Boolean({script})")).await == true {
                let outline = self.js("return getComputedStyle(document.activeElement).outlineStyle").await;
                assert_ne!(outline, "none", "nobody sees that {what} has the focus");
                return;
            }
        }
        panic!("{what} can't be reached by keyboard");
    }

    /// What the console said until now is of no account.
    pub(crate) async fn forget_console(&self) {
        self.ask("/se/log", json!({ "type": "browser" })).await;
    }

    /// Nothing went wrong in the console, and nobody else was asked for anything.
    pub(crate) async fn kept_to_itself(&self) {
        let lines = self.ask("/se/log", json!({ "type": "browser" })).await;
        let severe = lines.as_array().expect("a list").iter().filter(|line| line["level"] == "SEVERE");
        let severe: Vec<&Value> = severe.collect();
        assert!(severe.is_empty(), "the console: {severe:#?}");
        let events = self.ask("/se/log", json!({ "type": "performance" })).await;
        for event in events.as_array().expect("a list") {
            let event: Value = serde_json::from_str(event["message"].as_str().expect("text")).expect("json");
            if event["message"]["method"] == "Network.requestWillBeSent" {
                let url = event["message"]["params"]["request"]["url"].as_str().expect("a URL");
                // Chromium's own pages, as the one it starts with, are no host.
                let elsewhere = url.starts_with("http") && !url.starts_with(&self.origin);
                assert!(!elsewhere, "{url} was asked for");
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.driver.kill().ok();
        self.driver.wait().ok();
        // A killed driver leaves its browser behind.
        let profile = self.folder.path().to_string_lossy().into_owned();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&profile)
                && let Some(pid) = rustix::process::Pid::from_raw(pid)
            {
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            }
        }
    }
}
