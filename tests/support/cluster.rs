//! A Ballista cluster of real processes on free ports, stopped at the end whatever happens.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How soon a test's scheduler takes an executor for lost.
const EXECUTOR_TIMEOUT: &str = "8s";

pub struct Server {
    process: Child,
    pub port: u16,
    pub health_port: u16,
}

#[allow(dead_code, reason = "each test file uses some of it")]
impl Server {
    fn start(mut command: Command, port: u16) -> Self {
        let health_port = free_port();
        command.args(["--health-port", &health_port.to_string()]);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { process, port, health_port }
    }

    pub fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args([format!("-{name}"), self.process.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    pub fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    pub fn code(&mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

pub struct Cluster {
    pub scheduler: Server,
    pub executors: Vec<Server>,
    folder: PathBuf,
    environment: Vec<(&'static str, String)>,
}

#[allow(dead_code, reason = "each test file uses some of it")]
impl Cluster {
    /// A scheduler and executors of one core, one for each point at which it is to die, if at any.
    pub fn start(folder: &Path, environment: Vec<(&'static str, String)>, crash_at: &[&str]) -> Self {
        let scheduler = start_scheduler(free_port(), &environment);
        let mut cluster = Self { scheduler, executors: Vec::new(), folder: folder.to_owned(), environment };
        for point in crash_at {
            cluster.add_executor(point);
        }
        cluster.wait_for_executors(crash_at.len());
        cluster
    }

    pub fn add_executor(&mut self, crash_at: &str) {
        let port = free_port();
        let work = self.folder.join(format!("executor-{port}"));
        std::fs::create_dir_all(&work).unwrap();
        let mut command = regulars();
        command.args(["executor", "--scheduler", &self.address(), "--cores", "1", "--memory", "1GiB"]);
        command.args(["--port", &port.to_string(), "--grpc-port", &free_port().to_string()]);
        command.arg("--work-dir").arg(work).envs(self.environment.clone()).env("REGULARS_CRASH_AT", crash_at);
        self.executors.push(Server::start(command, port));
    }

    /// Another scheduler at the same address.
    pub fn restart_scheduler(&mut self) {
        self.scheduler.kill();
        self.scheduler = start_scheduler(self.scheduler.port, &self.environment);
    }

    pub fn address(&self) -> String {
        format!("df://127.0.0.1:{}", self.scheduler.port)
    }

    /// What makes a run use it, with all plans on the executors.
    pub fn settings(&self) -> [String; 6] {
        let scheduler = format!("engine.scheduler={}", self.address());
        let all = ["--set", "engine.kind=ballista", "--set", &scheduler, "--set", "engine.local_limit=0B"];
        all.map(str::to_owned)
    }

    /// An answer of the scheduler's REST API.
    pub fn api(&self, path: &str) -> Option<serde_json::Value> {
        serde_json::from_str(&get(self.scheduler.port, path)?).ok()
    }

    pub fn wait_for_executors(&self, count: usize) {
        wait_until("the executors are there", || {
            if self.is_encrypted() {
                // what the scheduler answers is for those with a certificate
                return self.executors.iter().all(|executor| get(executor.health_port, "/readyz").is_some());
            }
            let executors = self.api("/api/executors");
            executors
                .and_then(|executors| Some(executors.as_array()?.len()))
                .is_some_and(|found| found >= count)
        });
    }

    fn is_encrypted(&self) -> bool {
        self.environment.iter().any(|(name, _)| *name == "REGULARS_TLS_CA")
    }

    pub fn running_jobs(&self) -> usize {
        let jobs = self.api("/api/jobs").unwrap_or_default();
        let is_running = |job: &&serde_json::Value| {
            let status = job["job_status"].as_str().or(job["status"].as_str()).unwrap_or_default();
            status.to_lowercase().contains("running")
        };
        jobs.as_array().map_or(0, |jobs| jobs.iter().filter(is_running).count())
    }
}

fn start_scheduler(port: u16, environment: &[(&'static str, String)]) -> Server {
    let mut command = regulars();
    command.args(["scheduler", "--port", &port.to_string(), "--executor-timeout", EXECUTOR_TIMEOUT]);
    let scheduler = Server::start(
        {
            command.envs(environment.to_vec());
            command
        },
        port,
    );
    wait_until("the scheduler answers", || get(scheduler.health_port, "/healthz").is_some());
    scheduler
}

pub fn regulars() -> Command {
    Command::new(assert_cmd::cargo::cargo_bin!("regulars"))
}

/// The body of an answer with status 200.
pub fn get(port: u16, path: &str) -> Option<String> {
    use std::io::{Read, Write};
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(socket, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.lines().next()?.contains(" 200 ").then(|| body.to_owned())
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_mins(1), "never {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
