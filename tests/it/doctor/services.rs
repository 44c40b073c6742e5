//! A fleet on PostgreSQL and S3: sound while it works, and what can be wrong with it.

use super::Rig;
use crate::support::postgres::Postgres;
use crate::support::s3::S3Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_at_work_is_sound_and_its_broken_services_are_found() {
    let (postgres, s3) = (Postgres::start().await, S3Server::start().await);
    postgres.sql("subiteya", "create role app login password 'right'; grant all on schema public to app");
    let url = postgres.url().replace("postgres@", "app:right@");
    let mut services = vec![("DATABASE_URL", url.clone())];
    services.extend(s3.variables());
    let mut rig = Rig::on(&services).await;
    rig.fleet.start_all().await;
    let video = rig.fleet.upload("ada", "posted").await;
    rig.is_sound("under way");
    rig.fleet.posted(&video).await;
    rig.is_sound("posted");
    for name in ["serve", "edit", "publish"] {
        rig.fleet.kill(name);
    }
    rig.is_sound("all of it killed");

    let bucket = [("S3_BUCKET", "not-there")];
    rig.finds("a bucket that is missing", &bucket, &["objects"], &["NoSuchBucket", &s3.endpoint(), "not-there"]);
    let secret = [("AWS_SECRET_ACCESS_KEY", "wrong")];
    rig.finds("a wrong secret", &secret, &["objects"], &["SignatureDoesNotMatch", &s3.endpoint()]);
    let away = [("AWS_ENDPOINT_URL", "http://127.0.0.1:1")];
    rig.finds("a store that is away", &away, &["objects"], &["can't be reached", "http://127.0.0.1:1"]);
    for (kind, text) in [("secret", rig.doctor(&secret)), ("bucket", rig.doctor(&bucket))] {
        assert!(!text.report.to_string().contains(".;"), "{kind}: {:#}", text.report);
    }

    postgres.sql("subiteya", "alter role app set default_transaction_read_only = on");
    rig.finds("a database that only reads", &[], &["database"], &["it only reads", "primary"]);
    postgres.sql("subiteya", "alter role app reset default_transaction_read_only");
    let missing = [("DATABASE_URL", url.replace("/subiteya?", "/nowhere?"))];
    let missing = [("DATABASE_URL", missing[0].1.as_str())];
    rig.finds("a database that is missing", &missing, &["database"], &["database \"nowhere\" does not exist"]);
    let said = rig.doctor(&missing);
    assert!(!said.report.to_string().contains("at line"), "{:#}", said.report);
    postgres.ask_for_passwords_of("app");
    rig.is_sound("with its password");
    let wrong = url.replace("app:right@", "app:wrong@");
    rig.finds("a wrong password", &[("DATABASE_URL", &wrong)], &["database"], &["password authentication failed"]);
    let misspelt = rig.fleet.command(&["doctor"]).env("DATABASE_URL", format!("{url}&sslmod=require")).output();
    assert_eq!(misspelt.expect("it runs").status.code(), Some(78));
}
