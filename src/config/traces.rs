//! Where traces go: OpenTelemetry's own variables.
//! See <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use secrecy::SecretString;
use url::Url;

use super::environment::Environment;
use super::problem::Problem;
use super::{keep, web_url};

/// An endpoint that takes OTLP over HTTP, and what it is told of us.
#[derive(Debug, Clone)]
pub struct TracesConfig {
    /// Where the spans are posted to.
    pub url: Url,
    /// May hold the receiver's key.
    pub headers: Vec<(HeaderName, SecretString)>,
    pub service: String,
    /// OpenTelemetry's resource attributes, beside the service's name.
    pub attributes: Vec<(String, String)>,
    /// Of one request.
    pub timeout: Duration,
}

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const EXAMPLE: &str = "http://localhost:4318";

impl TracesConfig {
    /// None: nobody asks for traces.
    pub(super) fn load(env: &Environment, problems: &mut Vec<Problem>) -> Option<Self> {
        let disabled =
            keep(env.text("OTEL_SDK_DISABLED"), problems).is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let exporter = keep(env.text("OTEL_TRACES_EXPORTER"), problems).unwrap_or_else(|| "otlp".to_owned());
        if !matches!(exporter.as_str(), "otlp" | "none") {
            let expected =
                "expected otlp or none: traces are exported by OTLP alone; set it like OTEL_TRACES_EXPORTER=none";
            problems.push(Problem::new("OTEL_TRACES_EXPORTER", expected));
        }
        if disabled || exporter == "none" {
            return None;
        }
        let url = endpoint(env, problems)?;
        protocol(env, problems);
        let headers = nearest(env, ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"], problems);
        let headers = headers.map(|(name, text)| read_headers(name, &text, problems)).unwrap_or_default();
        let timeout = nearest(env, ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"], problems);
        let timeout = timeout.and_then(|(name, text)| {
            let millis = text.parse().ok().filter(|millis| (1..=600_000).contains(millis));
            if millis.is_none() {
                let expected = format!("expected milliseconds, from 1 to 600000; set it like {name}=10000");
                problems.push(Problem::new(name, expected));
            }
            millis
        });
        let attributes = keep(env.text("OTEL_RESOURCE_ATTRIBUTES"), problems).unwrap_or_default();
        let mut attributes = pairs(&attributes).unwrap_or_else(|| {
            let expected = "expected name=value pairs with commas between them; set it like \
                            OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=production";
            problems.push(Problem::new("OTEL_RESOURCE_ATTRIBUTES", expected));
            Vec::new()
        });
        let named = attributes.iter().position(|(name, _)| name == "service.name");
        let named = named.map(|place| attributes.remove(place).1);
        let service = keep(env.text("OTEL_SERVICE_NAME"), problems).or(named).unwrap_or_else(|| "subiteya".to_owned());
        Some(Self { url, headers, service, attributes, timeout: Duration::from_millis(timeout.unwrap_or(10_000)) })
    }
}

/// The variable of the traces alone is taken as it stands; the one for all signals has their path put behind it.
fn endpoint(env: &Environment, problems: &mut Vec<Problem>) -> Option<Url> {
    if let Some(text) = keep(env.text(TRACES_ENDPOINT), problems) {
        let example = format!("{EXAMPLE}/v1/traces");
        return keep(web_url(TRACES_ENDPOINT, &text, &example).map(Some), problems);
    }
    let text = keep(env.text(ENDPOINT), problems)?;
    let mut url = keep(web_url(ENDPOINT, &text, EXAMPLE).map(Some), problems)?;
    let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Some(url)
}

fn protocol(env: &Environment, problems: &mut Vec<Problem>) {
    let names = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
    let Some((name, text)) = nearest(env, names, problems) else { return };
    if text != "http/json" {
        let expected = format!(
            "expected http/json, which is what is sent; every OTLP receiver takes it on its HTTP port, 4318; set it like {name}=http/json"
        );
        problems.push(Problem::new(name, expected));
    }
}

/// The first that is set.
fn nearest(env: &Environment, names: [&'static str; 2], problems: &mut Vec<Problem>) -> Option<(&'static str, String)> {
    names.into_iter().find_map(|name| keep(env.text(name), problems).map(|text| (name, text)))
}

fn read_headers(name: &str, text: &str, problems: &mut Vec<Problem>) -> Vec<(HeaderName, SecretString)> {
    let header = |(name, value): (String, String)| {
        HeaderValue::from_str(&value).ok()?;
        Some((HeaderName::try_from(name).ok()?, SecretString::from(value)))
    };
    let headers = pairs(text).and_then(|pairs| pairs.into_iter().map(header).collect::<Option<Vec<_>>>());
    headers.unwrap_or_else(|| {
        let expected = format!("expected name=value pairs with commas between them; set it like {name}=api-key=KEY");
        problems.push(Problem::new(name, expected));
        Vec::new()
    })
}

/// As W3C's baggage writes them: `name=value,name=value`, percent-encoded.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let pair = |part: &str| {
        let (name, value) = part.split_once('=')?;
        let name = name.trim();
        (!name.is_empty()).then(|| Some((name.to_owned(), decoded(value.trim())?)))?
    };
    parts.map(pair).collect()
}

fn decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%'
            && let Some(hex) = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok())
            && let Ok(byte) = u8::from_str_radix(hex, 16)
        {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(pairs: &[(&str, &str)]) -> (Option<TracesConfig>, Vec<Problem>) {
        let mut problems = Vec::new();
        let config = TracesConfig::load(&pairs.iter().copied().collect(), &mut problems);
        (config, problems)
    }

    #[test]
    fn the_standard_variables_say_where_traces_go() {
        assert!(load(&[]).0.is_none(), "nobody asks");
        assert!(load(&[("OTEL_SERVICE_NAME", "x")]).0.is_none(), "a name is no endpoint");
        let url = |pairs: &[(&str, &str)]| load(pairs).0.map(|config| config.url.to_string());
        assert_eq!(url(&[(ENDPOINT, "http://c:4318")]).as_deref(), Some("http://c:4318/v1/traces"));
        assert_eq!(url(&[(ENDPOINT, "https://c/otlp/")]).as_deref(), Some("https://c/otlp/v1/traces"));
        let both = [(ENDPOINT, "http://c:4318"), (TRACES_ENDPOINT, "http://t/spans")];
        assert_eq!(url(&both).as_deref(), Some("http://t/spans"));
        for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert_eq!(url(&[both[0], off]), None);
        }
        let (config, problems) = load(&[
            both[0],
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, x-two=c=d"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=named,deployment.environment.name=test"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
        ]);
        assert!(problems.is_empty(), "{problems:?}");
        let config = config.expect("set");
        assert_eq!((config.service.as_str(), config.timeout), ("named", Duration::from_millis(250)));
        assert_eq!(config.attributes, [("deployment.environment.name".to_owned(), "test".to_owned())]);
        assert_eq!(config.headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["api-key", "x-two"]);
        assert!(!format!("{config:?}").contains("a b"), "a header may be a key");
    }

    #[test]
    fn what_is_wrong_is_named_and_no_value_is_repeated() {
        for (name, value) in [
            (ENDPOINT, "collector:4318"),
            (ENDPOINT, "grpc://SECRET"),
            (TRACES_ENDPOINT, "http://user:SECRET@c"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "SECRET"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a b=SECRET"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_RESOURCE_ATTRIBUTES", "SECRET"),
        ] {
            let (_, problems) = load(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"), (name, value)]);
            assert_eq!(problems.iter().map(Problem::name).collect::<Vec<_>>(), [name], "{value}");
            assert!(!problems[0].to_string().contains("SECRET"), "{}", problems[0]);
        }
    }
}
