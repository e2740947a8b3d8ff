//! What the model adapters add to a bare read of the same bytes: a call whose answer is one token, and one of 2,000.
//!
//! Targets: at most 1 ms a call, 2 µs a streamed token (the difference of the two lengths, divided by 1,999), and the first
//! token within 2 ms of the server's first byte. The server is a local one that plays recorded bytes, so its own work is in
//! the floor, too.

#![expect(clippy::expect_used, reason = "a measurement that cannot begin stops the program")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::StreamExt;
use statewright_nodes_models::{
    Anthropic, AnthropicConfig, OpenAi, OpenAiConfig,
    wire::{Behaviour, WireOptions, WireServer},
};
use statewright_nodes_ports::{ChatModel, ChatRequest, Message, ModelId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An answer of so many tokens, as each provider streams it.
fn answers(tokens: usize) -> [(&'static str, &'static str, Vec<u8>); 2] {
    let chunk = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" token"},"finish_reason":null}],"usage":null}"#;
    let last = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let completions = format!("{}{last}\n\ndata: [DONE]\n\n", format!("{chunk}\n\n").repeat(tokens));
    let start = r#"data: {"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":1}}}"#;
    let delta = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" token\"}}";
    let end =
        r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}"#;
    let stop = r#"data: {"type":"message_stop"}"#;
    let messages = format!("{start}\n\n{}{end}\n\n{stop}\n\n", format!("{delta}\n\n").repeat(tokens));
    [
        ("openai", "/v1/chat/completions", completions.into_bytes()),
        ("anthropic", "/v1/messages", messages.into_bytes()),
    ]
}

/// Posts the same and reads to the end of the connection, without a look at what is read.
async fn bare_read(address: &str, path: &str) -> usize {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("the server listens");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nanthropic-version: 2023-06-01\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    stream.write_all(head.as_bytes()).await.expect("the server reads");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("the server answers");
    bytes.len()
}

/// How many deltas there were.
async fn drained(model: &dyn ChatModel) -> usize {
    let request = ChatRequest::new([Message::user("Say it.")]);
    let stream = model.stream(request).await.expect("the server answers");
    stream.fold(0, |count, delta| async move { count + usize::from(delta.is_ok()) }).await
}

async fn first_token(model: &dyn ChatModel) {
    let request = ChatRequest::new([Message::user("Say it.")]);
    let mut stream = model.stream(request).await.expect("the server answers");
    black_box(stream.next().await.expect("a delta").expect("no error"));
}

fn benchmark(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut group = c.benchmark_group("models");
    for tokens in [1usize, 2_000] {
        group.throughput(Throughput::Elements(tokens as u64));
        for (provider, path, bytes) in answers(tokens) {
            let options = WireOptions {
                afterwards: Behaviour::Raw(bytes),
                piece_bytes: 16 * 1024,
                ..WireOptions::default()
            };
            let server = runtime.block_on(WireServer::start(options)).expect("a free port");
            let id = ModelId::new("m").expect("a valid id");
            let model: Box<dyn ChatModel> = match provider {
                "openai" => Box::new(
                    OpenAi::new(OpenAiConfig::new(server.base_url(), id)).expect("a sound configuration"),
                ),
                _ => Box::new(
                    Anthropic::new(AnthropicConfig::new(server.base_url(), id))
                        .expect("a sound configuration"),
                ),
            };
            let address = server.base_url().trim_start_matches("http://").trim_end_matches("/v1").to_owned();
            group.bench_function(BenchmarkId::new(format!("{provider}-floor"), tokens), |b| {
                b.to_async(&runtime).iter(|| bare_read(&address, path));
            });
            group.bench_function(BenchmarkId::new(provider, tokens), |b| {
                b.to_async(&runtime).iter(|| drained(model.as_ref()));
            });
            group.bench_function(BenchmarkId::new(format!("{provider}-first-token"), tokens), |b| {
                b.to_async(&runtime).iter(|| first_token(model.as_ref()));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, benchmark);
criterion_main!(benches);
