//! Reading an uploaded policy.

use std::io::Write as _;

use api::archive::bundle;
use api::routes::ARCHIVE_BYTES_MAX;
use flate2::Compression;
use flate2::write::GzEncoder;

const DOCUMENT: &str = "name = \"small\"\n";

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, *bytes).expect("writing to memory succeeds");
    }
    archive.into_inner().expect("writing to memory succeeds")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("writing to memory succeeds");
    encoder.finish().expect("writing to memory succeeds")
}

#[track_caller]
fn check_refused(archive: &[u8], expected: &str) {
    let problem = bundle(archive).expect_err("a refusal");
    assert_eq!((problem.code().as_str(), problem.detail()), ("invalid_archive", expected));
}

#[test]
fn an_archive_may_be_compressed_with_gzip() {
    let plain = tar(&[("policy.toml", DOCUMENT.as_bytes())]);
    let digest = bundle(&plain).unwrap().digest();
    assert_eq!(bundle(&gzip(&plain)).unwrap().digest(), digest);
    // gzip allows several parts, one after another.
    let (start, end) = plain.split_at(700);
    assert_eq!(bundle(&[gzip(start), gzip(end)].concat()).unwrap().digest(), digest);
}

#[test]
fn a_compressed_archive_is_cut_at_the_limit() {
    let zeros = gzip(&vec![0; ARCHIVE_BYTES_MAX + 1]);
    assert!(zeros.len() < 1 << 20, "{}", zeros.len());
    check_refused(&zeros, "the decompressed archive has more than 20971520 bytes");
    // 2 GiB, of which only the beginning is decompressed.
    check_refused(&zeros.repeat(100), "the decompressed archive has more than 20971520 bytes");
}

#[test]
fn an_archive_that_cannot_be_read_says_why() {
    let compressed = gzip(&tar(&[("policy.toml", DOCUMENT.as_bytes())]));
    let cut = compressed.get(..compressed.len() / 2).unwrap();
    check_refused(cut, "the archive cannot be decompressed with gzip: incomplete deflate stream");
    let more = [&compressed, b"something else follows".as_slice()].concat();
    check_refused(&more, "the archive cannot be decompressed with gzip: invalid gzip header");
    for (start, found) in [
        (b"PK\x03\x04".as_slice(), "a zip archive"),
        (b"\x28\xB5\x2F\xFD", "compressed with zstd"),
        (b"\xFD7zXZ\0", "compressed with xz"),
        (b"BZh91AY&SY", "compressed with bzip2"),
    ] {
        let expected = format!("the archive is {found}, expected tar, uncompressed or compressed with gzip");
        check_refused(&[start, &[0; 512]].concat(), &expected);
    }
}
