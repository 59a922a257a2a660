//! The scripts, each sent once to a server and named by its hash from then on.

use std::sync::LazyLock;

use redis::{Cmd, cmd};

/// A script, with what all scripts share before it.
pub(crate) struct Script {
    code: String,
    hash: String,
}

macro_rules! scripts {
    ($($name:ident = $file:literal;)*) => {$(
        pub(crate) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!(include_str!("lua/common.lua"), include_str!($file))));
    )*};
}

scripts! {
    ACK = "lua/ack.lua";
    DEPTH = "lua/depth.lua";
    LEAVE = "lua/leave.lua";
    PUBLISH = "lua/publish.lua";
    PURGE = "lua/purge.lua";
    REDRIVE = "lua/redrive.lua";
    SETTLE = "lua/settle.lua";
    TICK = "lua/tick.lua";
}

impl Script {
    fn new(code: &str) -> Self {
        Self { code: code.to_owned(), hash: redis::Script::new(code).get_hash().to_owned() }
    }

    /// The command that runs it with `keys`; arguments are to be added.
    pub(crate) fn run(&self, keys: &[&str]) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(&self.hash).arg(keys.len()).arg(keys);
        command
    }

    /// The command that sends it.
    pub(crate) fn load(&self) -> Cmd {
        let mut command = cmd("SCRIPT");
        command.arg("LOAD").arg(&self.code);
        command
    }
}
