//! Servers that run: started on free ports, waited for, and stopped whatever happens.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, bail};

use super::{Interrupt, Service, Site};

/// How long a server may take to answer.
const START: Duration = Duration::from_secs(60);

/// How long a server may take to stop before it is killed.
const STOP: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(20);

/// How many lines of its log are shown of a server that failed.
const TAIL: usize = 30;

/// Servers that run until this is dropped.
pub(crate) struct Running(Vec<Server>);

/// One of them: a child of ours, so that its end is known by waiting for it.
struct Server {
    service: &'static Service,
    child: Child,
    data: PathBuf,
    port: u16,
    told: bool,
}

/// What kept a server from running.
pub(crate) type Problem = (&'static Service, Error);

impl Running {
    /// Starts servers side by side, and returns when each answers; with what kept others from it.
    ///
    /// To be called from the main thread: on Linux they end with the thread that started them.
    pub(crate) fn start(services: &[&'static Service], interrupt: &Interrupt) -> (Self, Vec<Problem>) {
        let mut running = Self(Vec::new());
        let mut problems = Vec::new();
        for service in services {
            match Server::spawn(service) {
                Ok(server) => running.0.push(server),
                Err(error) => problems.push((*service, error)),
            }
        }
        running.0.retain_mut(|server| {
            let since = Instant::now();
            let ready = server.ready(interrupt);
            let Service { name, program, .. } = server.service;
            match ready {
                Ok(()) => println!("{name}: {program} on port {}, {:.1} s", server.port, since.elapsed().as_secs_f32()),
                Err(error) => {
                    problems.push((server.service, error));
                    return false;
                }
            }
            true
        });
        (running, problems)
    }

    /// Whether a server of this kind runs.
    pub(crate) fn has(&self, service: &Service) -> bool {
        self.0.iter().any(|server| server.service.name == service.name)
    }

    /// What programs are told of them.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut all: Vec<(&str, String)> = Vec::new();
        for Server { service, port, .. } in &self.0 {
            let url = (service.url)(*port);
            // Of two that are configured alike, clients talk to the first.
            for (name, value) in (service.settings)(&url).into_iter().chain([(service.variable, url)]) {
                if all.iter().all(|(have, _)| *have != name) {
                    all.push((name, value));
                }
            }
        }
        all
    }

    /// Waits for the end of the task, and fails if a server ends before.
    pub(crate) fn watch(&mut self, interrupt: &Interrupt) -> Result<()> {
        while !interrupt.heard() {
            for server in &mut self.0 {
                server.alive()?;
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // All are told before one is waited for.
        self.0.iter_mut().for_each(Server::tell);
    }
}

impl Server {
    fn spawn(service: &'static Service) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr())?.port();
        let data = std::env::temp_dir().join(format!("chappe-{}-{}-{port}", service.name, std::process::id()));
        fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
        let log = File::create(data.join("log"))?;
        let installed = service.folder();
        let mut command = bound(&(service.command)(&Site { installed: &installed, data: &data, port }));
        // A group of its own: Ctrl-C is for us, and we stop it in order.
        command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("cannot start {}", service.program))?;
        Ok(Self { service, child, data, port, told: false })
    }

    fn ready(&mut self, interrupt: &Interrupt) -> Result<()> {
        let since = Instant::now();
        while !(self.service.ready)(self.port) {
            self.alive()?;
            if interrupt.heard() {
                bail!("interrupted");
            }
            if since.elapsed() > START {
                bail!("{} does not answer after {START:?}{}", self.service.program, self.tail());
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}{}", self.service.program, self.tail()),
        }
    }

    /// Asks it to stop, once.
    fn tell(&mut self) {
        if !std::mem::replace(&mut self.told, true) {
            signal("TERM", self.child.id());
        }
    }

    /// The last lines it wrote, to stand below what is said of it.
    fn tail(&self) -> String {
        let log = fs::read(self.data.join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n  ");
        if tail.is_empty() { String::new() } else { format!("; it wrote\n  {tail}") }
    }
}

/// Waits for its end, or makes it.
impl Drop for Server {
    fn drop(&mut self) {
        self.tell();
        let since = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if since.elapsed() > STOP {
                eprintln!("{} does not stop, it is killed", self.service.program);
                signal("KILL", self.child.id());
                drop(self.child.wait());
                break;
            }
            thread::sleep(PAUSE);
        }
        drop(fs::remove_dir_all(&self.data));
    }
}

/// The command as one that ends when we do, whatever ends us, where the system has a program for that.
pub(super) fn bound(command: &Command) -> Command {
    const SETPRIV: &str = "/usr/bin/setpriv";
    if !Path::new(SETPRIV).exists() {
        return rebuilt(command, Command::new(command.get_program()));
    }
    let mut wrapped = Command::new(SETPRIV);
    wrapped.args(["--pdeathsig", "TERM"]).arg(command.get_program());
    rebuilt(command, wrapped)
}

fn rebuilt(from: &Command, mut command: Command) -> Command {
    command.args(from.get_args());
    for (name, value) in from.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(folder) = from.get_current_dir() {
        command.current_dir(folder);
    }
    command
}

/// Whether there is somebody at a port, which for most servers is to say that they answer.
pub(super) fn accepts(port: u16) -> bool {
    TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_ok()
}

/// Signals a process we started and have not waited for yet, so that its number is still its own.
pub(super) fn signal(name: &str, process: u32) {
    drop(Command::new("sh").args(["-c", &format!("kill -s {name} {process}")]).stderr(Stdio::null()).status());
}
