"""Writes segments.json: sealed segments made without the Go code.

Needs the Python package "cryptography" (made with version 48.0.0). HChaCha20 is
written out below, after draft-irtf-cfrg-xchacha-03 section 2.2.
"""
import hashlib, json, struct
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

CHUNK = 65536


def hkdf(key, salt, info):
    return HKDF(SHA256(), 32, salt, info).derive(key)


def hchacha(key, nonce):
    s = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))

    def quarter(a, b, c, d):
        for x, y, z, r in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = (s[x] + s[y]) & 0xFFFFFFFF
            v = s[z] ^ s[x]
            s[z] = (v << r | v >> (32 - r)) & 0xFFFFFFFF

    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack("<8I", *(s[:4] + s[12:]))


def seal_chunk(suite, key, tail, plain, header):
    if suite == 1:
        return AESGCM(key).encrypt(bytes(7) + tail, plain, header)
    nonce = bytes(19) + tail
    return ChaCha20Poly1305(hchacha(key, nonce[:16])).encrypt(bytes(4) + nonce[16:], plain, header)


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def with_gaps(plain, gaps):
    """Returns plaintext and header fields of a segment whose longest gap has room for the list, or else says that all up to the last is one."""
    plain, rows, end = bytearray(plain), b"", 0
    for pos, length in gaps:
        plain[pos:pos + length] = bytes(length)
        rows, end = rows + varint(pos - end) + varint(length), pos + length
    at, room = max(gaps, key=lambda g: g[1])
    if len(rows) > room:
        return bytes(plain), struct.pack("<QII", end, 0, 0)
    plain[at:at + len(rows)] = rows
    return bytes(plain), struct.pack("<QII", at, len(rows), 0)


def seal(suite, number, drive, salt, plain, gaps=None):
    version, fields = 1, bytes(16)
    if gaps:
        version = 2
        plain, fields = with_gaps(plain, gaps)
    if suite == 0:
        return b"WFS1" + bytes([version, 0, 0, 0]) + struct.pack("<II", 0, CHUNK) + fields + bytes(32) + plain
    header = b"WFS1" + bytes([version, suite, 0, 0]) + struct.pack("<II", number, CHUNK) + fields + salt
    key = hkdf(hkdf(drive, None, b"content"), salt, b"walfs segment v1")
    parts = [plain[i:i + CHUNK] for i in range(0, len(plain), CHUNK)] or [b""]
    out = header
    for i, part in enumerate(parts):
        tail = struct.pack(">IB", i, i == len(parts) - 1)
        out += seal_chunk(suite, key, tail, part, header)
    return out


def main():
    drive, salt, number = bytes(range(32)), bytes(range(100, 132)), 7
    cases = []
    for suite in (0, 1, 2):
        for size in (0, 1, 11, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 200000):
            sealed = seal(suite, number, drive, salt, bytes(i * 7 % 251 for i in range(size)))
            case = {"suite": suite, "size": size, "sealed_size": len(sealed),
                    "sha256": hashlib.sha256(sealed).hexdigest()}
            if size <= 11:
                case["sealed"] = sealed.hex()
            cases.append(case)
    gapped = []
    for suite in (0, 1, 2):
        for size, gaps in ((200000, [[100, 50], [70000, 1000], [150000, 20]]), (300, [[40, 200]]), (11, [[2, 1], [5, 1]])):
            sealed = seal(suite, number, drive, salt, bytes(i * 7 % 251 for i in range(size)), gaps)
            gapped.append({"suite": suite, "size": size, "gaps": gaps, "header": sealed[:64].hex(),
                           "sha256": hashlib.sha256(sealed).hexdigest()})
    doc = {"drive_key": drive.hex(), "key_number": number, "salt": salt.hex(),
           "derived": {label: hkdf(drive, None, label.encode()).hex() for label in ("content", "index", "anchor")},
           "cases": cases, "gapped": gapped}
    with open("segments.json", "w") as f:
        json.dump(doc, f, indent=1)
        f.write("\n")


main()
