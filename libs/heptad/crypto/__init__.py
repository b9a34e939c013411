"""Keys, signatures, JWS and sealing: the only room that names a cryptographic library.

Ed25519 comes from libsodium (PyNaCl) everywhere, because two libraries that judge one odd signature
differently would let honest replicas disagree. P-256 comes from OpenSSL (`cryptography`).
"""
