//! MariaDB, from Debian. It stands for MySQL, whose protocol and dialect it speaks, because no package has a MySQL server.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::install::{debian, run};
use super::ports::ports;
use super::{Folders, Options, Readiness, Server, Starting, Stop, Takes, nothing};

pub(super) const SERVER: Server = Server {
    name: "mariadb",
    variable: "FINAIRA_REQUIRE_MARIADB",
    takes: Takes::Keep,
    patience: Duration::from_secs(90),
    stop: Stop::TERM,
    get: |_| debian("mariadbd", PACKAGE).map(drop),
    prepare,
    settle: nothing,
    end_rest: nothing,
};

const PACKAGE: &str = "mariadb-server";
const USER: &str = "finaira";

fn prepare(folders: &Folders, options: &Options) -> Result<Starting> {
    let data = format!("--datadir={}", folders.data().display());
    // Unless it is told to, it refuses to run as root.
    let user = rustix::process::geteuid().is_root().then_some("--user=root");
    if !options.keep {
        let mut install = Command::new(debian("mariadb-install-db", PACKAGE)?);
        // `--no-defaults` always comes first: otherwise the settings of the machine mix in.
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", &data]).args(user);
        run(&mut install, "")?;
    }
    let [port] = ports(folders)?;
    let start = folders.run.join("start.sql");
    let sql = format!(
        "CREATE DATABASE IF NOT EXISTS {USER};\n\
         CREATE USER IF NOT EXISTS {USER} IDENTIFIED BY '{USER}';\n\
         GRANT ALL ON *.* TO {USER} WITH GRANT OPTION;\n"
    );
    fs::write(&start, sql).with_context(|| format!("cannot write {}", start.display()))?;
    let mut command = Command::new(debian("mariadbd", PACKAGE)?);
    command.args(["--no-defaults", &data]).args(user);
    command.args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-buffer-pool-size=64M"]);
    // The socket and the file with the pid are in the folder of the data.
    command.args(["--socket=socket", "--pid-file=pid"]);
    command.arg(format!("--port={port}")).arg(format!("--init-file={}", start.display()));
    let description = json!({
        "url": format!("mysql://{USER}:{USER}@127.0.0.1:{port}/{USER}"),
        "host": "127.0.0.1",
        "port": port,
        "user": USER,
        "password": USER,
        "database": USER,
    });
    Ok(Starting { command, readiness: Readiness::Says { text: "ready for connections", description } })
}
