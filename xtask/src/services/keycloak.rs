//! Keycloak, from Maven Central. `xtask/services/keycloak/realm.json` is the realm that it imports at each start.
//!
//! Its tokens are unlike those of oidc-provider: `typ` is `JWT`, there is `azp` instead of `client_id`, and roles are in
//! `realm_access.roles`. Its keys are components of the realm, which its administrator changes over HTTP:
//!
//! 1. POST to `admin.token_endpoint` with `grant_type=password`, the client id, the name and the password gives a token.
//! 2. POST to `admin.components` of a component like `admin.new_key` publishes a new key. With `active` `["false"]` it only
//!    verifies; PUT to the `Location` of the answer with `["true"]` makes it sign, because its priority is the highest.
//! 3. GET on `admin.components` with `?type=org.keycloak.keys.KeyProvider` lists the components; DELETE on `admin.components`,
//!    `/` and the `id` of the one named `rsa-generated` withdraws the first key.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::install::{java as get_java, run};
use super::ports::ports;
use super::{Folders, Options, Readiness, Server, Starting, Stop, Takes, nothing, remove};

pub(super) const SERVER: Server = Server {
    name: "keycloak",
    variable: "FINAIRA_REQUIRE_KEYCLOAK",
    takes: Takes::Tokens,
    patience: Duration::from_secs(9 * 60),
    stop: Stop::TERM,
    get,
    prepare,
    settle: nothing,
    end_rest: nothing,
};

const VERSION: &str = "26.5.6";
const UNPACK: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:unpack";
/// What depends on neither the port nor the run, so that Keycloak can be built once.
const BUILD: &str = "--db=dev-file";
const ADMIN: &str = "admin";

fn get(folders: &Folders) -> Result<()> {
    get_java()?;
    let stamp = format!("keycloak {VERSION} {BUILD}");
    if folders.has_stamp(&stamp) {
        return Ok(());
    }
    // Everything, because Maven keeps notes beside it, and unpacks nothing twice.
    remove(&folders.home)?;
    fs::create_dir_all(&folders.home).with_context(|| format!("cannot create {}", folders.home.display()))?;
    let unpacked = unpacked(folders);
    let mut maven = Command::new("mvn");
    maven.args(["--quiet", "--batch-mode", "--strict-checksums", UNPACK]);
    maven.arg(format!("-Dartifact=org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"));
    maven.arg(format!("-DoutputDirectory={}", folders.home.display())).current_dir(&folders.home);
    run(&mut maven, "")?;
    // It assembles itself for its options before its first start. Doing it here makes every start equally short.
    run(java(&unpacked).args(["build", BUILD]), "")?;
    folders.set_stamp(&stamp)
}

fn prepare(folders: &Folders, options: &Options) -> Result<Starting> {
    let unpacked = unpacked(folders);
    let data = unpacked.join("data");
    remove(&data)?;
    fs::create_dir_all(data.join("import")).with_context(|| format!("cannot create {}", data.display()))?;
    fs::write(data.join("import/realm.json"), realm(folders, options)?.to_string())
        .context("cannot write the realm")?;
    let [port] = ports(folders)?;
    let origin = format!("http://127.0.0.1:{port}");
    let mut command = java(&unpacked);
    command.args(["start", "--optimized", "--import-realm", "--http-enabled=true", "--http-host=127.0.0.1"]);
    // Otherwise it would look for others of its kind in the network.
    command.arg("--cache=local");
    command.arg(format!("--http-port={port}")).arg(format!("--hostname={origin}"));
    command.envs([("KC_BOOTSTRAP_ADMIN_USERNAME", ADMIN), ("KC_BOOTSTRAP_ADMIN_PASSWORD", ADMIN)]);
    let path = "/realms/finaira/.well-known/openid-configuration".to_owned();
    Ok(Starting { command, readiness: Readiness::Answers { port, path, description: describe(&origin, options) } })
}

fn unpacked(folders: &Folders) -> PathBuf {
    folders.home.join(format!("keycloak-{VERSION}"))
}

/// Java with what `bin/kc.sh` would give it. That script starts Java as its child, which would outlive it if it were killed.
fn java(unpacked: &Path) -> Command {
    let mut java = Command::new("java");
    java.args(["-Xms128m", "-Xmx384m", "-XX:MetaspaceSize=96M", "-XX:+ExitOnOutOfMemoryError"]);
    // The second compiler would still be warming up when the tests are over.
    java.arg("-XX:TieredStopAtLevel=1");
    for package in ["java.util", "java.util.concurrent", "java.security"] {
        java.arg(format!("--add-opens=java.base/{package}=ALL-UNNAMED"));
    }
    java.args(["-Duser.language=en", "-Duser.country=US", "-Dpicocli.disable.closures=true"]);
    java.arg("-Djava.util.logging.manager=org.jboss.logmanager.LogManager");
    java.arg(concat!(
        "-Djava.util.concurrent.ForkJoinPool.common.threadFactory=",
        "io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory"
    ));
    java.arg(format!("-Dkc.home.dir={}", unpacked.display()));
    java.arg(format!("-Djboss.server.config.dir={}", unpacked.join("conf").display()));
    java.arg("-cp").arg(unpacked.join("lib/quarkus-run.jar")).arg("io.quarkus.bootstrap.runner.QuarkusEntryPoint");
    java
}

/// The realm with the lifespan and the audience of its tokens.
fn realm(folders: &Folders, options: &Options) -> Result<Value> {
    let file = folders.source.join("realm.json");
    let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut realm: Value = serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", file.display()))?;
    realm["accessTokenLifespan"] = options.token_seconds.into();
    let clients = realm["clients"].as_array_mut().context("the realm has no clients")?;
    for client in clients {
        client["protocolMappers"] = json!([{
            "name": "audience",
            "protocol": "openid-connect",
            "protocolMapper": "oidc-audience-mapper",
            "config": {"included.custom.audience": options.audience, "access.token.claim": "true"},
        }]);
    }
    Ok(realm)
}

fn describe(origin: &str, options: &Options) -> Value {
    let issuer = format!("{origin}/realms/finaira");
    let client = |id: &str, role: &str, dpop: bool| {
        json!({
            "client_id": id,
            "client_secret": format!("{id}-secret"),
            "algorithm": "RS256",
            "role": role,
            "dpop": dpop,
        })
    };
    json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/protocol/openid-connect/certs"),
        "token_endpoint": format!("{issuer}/protocol/openid-connect/token"),
        "audience": options.audience,
        "token_seconds": options.token_seconds,
        "clients": [client("payments", "payments-operator", false), client("terminal", "payments-reader", true)],
        "admin": {
            "token_endpoint": format!("{origin}/realms/master/protocol/openid-connect/token"),
            "client_id": "admin-cli",
            "username": ADMIN,
            "password": ADMIN,
            "components": format!("{origin}/admin/realms/finaira/components"),
            "new_key": {
                "name": "next",
                "providerId": "rsa-generated",
                "providerType": "org.keycloak.keys.KeyProvider",
                "config": {"priority": ["200"], "algorithm": ["RS256"], "enabled": ["true"], "active": ["true"]},
            },
        },
    })
}
