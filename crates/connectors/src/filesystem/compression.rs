//! gzip and zstd around text files: decompression beside the task, compression inside the
//! writer. Called by `chunks.rs` and `encoder.rs`.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use model::{Error, ErrorKind, Result};
use tokio::sync::mpsc;

/// Bytes of one decompressed chunk.
const CHUNK: usize = 256 << 10;
/// Chunks waiting on either side of the decompressor.
const QUEUE: usize = 2;

/// How a whole text file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// By the extension of the file's name.
    pub(super) fn of_name(name: &str) -> Self {
        let extension = name.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase());
        match extension.as_deref() {
            Some("gz" | "gzip") => Self::Gzip,
            Some("zst" | "zstd") => Self::Zstd,
            _ => Self::None,
        }
    }

    /// What the sink appends to a file's name.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Codecs inside parquet files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ParquetCompression {
    None,
    Snappy,
    Gzip,
    Zstd,
    Lz4,
}

impl ParquetCompression {
    pub(super) const WORDS: [(&'static str, Self); 5] = [
        ("none", Self::None),
        ("snappy", Self::Snappy),
        ("gzip", Self::Gzip),
        ("zstd", Self::Zstd),
        ("lz4", Self::Lz4),
    ];
}

/// The decompressed chunks of a file. Decompression runs on a blocking thread, which ends
/// when the stream is dropped; at most a few chunks are ahead of the reader.
pub(super) fn decompress(
    mut compressed: BoxStream<'static, Result<Bytes>>,
    compression: Compression,
    name: String,
) -> BoxStream<'static, Result<Bytes>> {
    let (to_decoder, input) = mpsc::channel(QUEUE);
    let (output, from_decoder) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        while let Some(chunk) = compressed.next().await {
            if to_decoder.send(chunk).await.is_err() {
                return;
            }
        }
    });
    tokio::task::spawn_blocking(move || {
        if let Err(error) = pump(input, &output, compression, &name) {
            // A closed channel means that nobody reads this split any more.
            let _unread = output.blocking_send(Err(error));
        }
    });
    futures::stream::unfold(
        from_decoder,
        |mut rx| async move { rx.recv().await.map(|item| (item, rx)) },
    )
    .boxed()
}

fn pump(
    input: mpsc::Receiver<Result<Bytes>>,
    output: &mpsc::Sender<Result<Bytes>>,
    compression: Compression,
    name: &str,
) -> Result<()> {
    let failure = Arc::new(Mutex::new(None));
    let source = ChannelRead { input, chunk: Bytes::new(), failure: Arc::clone(&failure) };
    let broken = |error: io::Error| {
        let upstream = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        upstream.unwrap_or_else(|| {
            Error::user(format!(
                "{name} is not a readable {} file (damaged, cut short, or not compressed so)",
                compression.word()
            ))
            .caused_by(error)
        })
    };
    let mut decoder: Box<dyn Read> = match compression {
        Compression::None => Box::new(source),
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(source)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(source).map_err(|e| {
            Error::new(ErrorKind::Internal, "cannot start a zstd decoder").caused_by(e)
        })?),
    };
    loop {
        let mut buffer = vec![0; CHUNK];
        let mut filled = 0;
        while filled < CHUNK {
            match decoder.read(&mut buffer[filled..]).map_err(broken)? {
                0 => break,
                n => filled += n,
            }
        }
        buffer.truncate(filled);
        if filled > 0 && output.blocking_send(Ok(Bytes::from(buffer))).is_err() {
            return Ok(());
        }
        if filled < CHUNK {
            return Ok(());
        }
    }
}

/// The blocking side of a channel of chunks.
struct ChannelRead {
    input: mpsc::Receiver<Result<Bytes>>,
    chunk: Bytes,
    /// Why the channel gave no more, so that it is not taken for a damaged file.
    failure: Arc<Mutex<Option<Error>>>,
}

impl Read for ChannelRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.input.blocking_recv() {
                None => return Ok(0),
                Some(Ok(chunk)) => self.chunk = chunk,
                Some(Err(error)) => {
                    *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    return Err(io::Error::other("the file cannot be read"));
                }
            }
        }
        let n = buffer.len().min(self.chunk.len());
        buffer[..n].copy_from_slice(&self.chunk.split_to(n));
        Ok(n)
    }
}

/// A compressor that collects its output in memory, to be taken piece by piece.
pub(super) enum Compressor {
    None(Vec<u8>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Compressor {
    pub(super) fn new(compression: Compression) -> Result<Self> {
        Ok(match compression {
            Compression::None => Self::None(Vec::new()),
            Compression::Gzip => {
                let level = flate2::Compression::default();
                Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), level))
            }
            Compression::Zstd => {
                let encoder = zstd::stream::write::Encoder::new(Vec::new(), 0);
                Self::Zstd(
                    encoder
                        .map_err(|e| Error::internal("cannot start a zstd encoder").caused_by(e))?,
                )
            }
        })
    }

    fn output(&mut self) -> &mut Vec<u8> {
        match self {
            Self::None(bytes) => bytes,
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        }
    }

    /// Bytes ready to be taken.
    pub(super) fn ready(&mut self) -> usize {
        self.output().len()
    }

    /// What is ready so far.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.output())
    }

    /// The rest, with the trailer.
    pub(super) fn finish(self) -> Result<Vec<u8>> {
        let finished = match self {
            Self::None(bytes) => Ok(bytes),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        };
        finished.map_err(|e| Error::internal("cannot finish a compressed file").caused_by(e))
    }
}

impl Write for Compressor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(output) => output.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // Flushing a compressor would cost ratio; `finish` writes everything out.
        Ok(())
    }
}
