"""The vectors of content format v1."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Vector:
    """One row; `first` and `sha256` are of the file, or of all files of a tree in order."""

    name: str
    key: int
    unit: int
    units: int
    content_units: int
    first: bytes
    sha256: str


VECTORS = [
    Vector(
        "0.bin",
        0x3028F477982C8503,
        4096,
        1,
        1,
        bytes.fromhex(""),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ),
    Vector(
        "1.bin",
        0x47F6595AFB56AE91,
        4096,
        1,
        1,
        bytes.fromhex("dd"),
        "2795044ce0f83f718bc79c5f2add1e52521978df91ce9b7f82c9097191d33602",
    ),
    Vector(
        "4096.bin",
        0xC01D04F4C90DC2BC,
        4096,
        1,
        1,
        bytes.fromhex("21cad9b097a901e3"),
        "69d338658c49bb9b63f76e7524038fbdcc914aad64d32a76f9d15b1721a55a68",
    ),
    Vector(
        "1M_d1_c1.bin",
        0x0EB229BD1B3BA11F,
        1048576,
        1,
        1,
        bytes.fromhex("ffc27c536ff7d161"),
        "a479729d456871f6dd2085237f1aafcd39c5916335e8245ab160be67c5c5e2ec",
    ),
    Vector(
        "1M_d4_c2.bin",
        0x21F446AF0206781F,
        4096,
        256,
        64,
        bytes.fromhex("73296ca73fbcec6c"),
        "c87abee1d606684ea8983df110df0598212aa7896d585a52af0f97e7a2ed874e",
    ),
    Vector(
        "4M+1_d1_c1.5.bin",
        0x4B9239A0D4A50BA2,
        4194304,
        2,
        2,
        bytes.fromhex("6b427d009d913031"),
        "efc642c7bdce41ee5572480c1dba315a160905cf08f7700c74aa91b3f488b846",
    ),
    Vector(
        "10M_d2.5_c3_s42.bin",
        0x7083A402E37F51BF,
        65536,
        160,
        64,
        bytes.fromhex("5170ec0c6cdcc554"),
        "0d0f8354312a8138a5dd1d5c778a8609e1fc174f61dcce198319d5825e4f1f65",
    ),
    Vector(
        "3MB_d3_c1_b64K.bin",
        0x7B6A47C8077F5451,
        65536,
        46,
        15,
        bytes.fromhex("09821c80f1ae1f67"),
        "d12fee61eeaa01d009ca3a40977b0aa51013b6a8b80cd9af4ab95e95803db703",
    ),
    Vector(
        "64M_d4_c10.bin",
        0x21AF1741FE491B3B,
        262144,
        256,
        64,
        bytes.fromhex("2288eb50fcf7b5bf"),
        "46855230135f108a422c2a5e81f883aca230b62b1a4c6306c4604330e1252ab2",
    ),
    Vector(
        "200x5000_d3_c2",
        0x1F0331FE6CC35F3F,
        8192,
        200,
        67,
        bytes.fromhex("3de35127a3fe3862"),
        "d2a6c2d46737f2fa0cc7a69a99a58ebf21b970aa24949b41dcface36b3c1432b",
    ),
    Vector(
        "5x5M_d2_c1",
        0x6DBD35F12D70BBF9,
        131072,
        200,
        100,
        bytes.fromhex("1e6366712472981a"),
        "322369f440c12161ed733f5d352aeef2e47c18f9a7e550c58c99ed55ed3ad27a",
    ),
    Vector(
        "7x1000000_d1.5_c4_s3",
        0xE720D644C340CCEF,
        8192,
        861,
        574,
        bytes.fromhex("777970d9165d91b7"),
        "fa3da98d98edbb010a5cb39beb6a82d14b1ae3135525f5a445d6e46c26ec67e8",
    ),
    Vector(
        "64x4K_d1_c1",
        0xE1052B170C5771B3,
        4096,
        64,
        64,
        bytes.fromhex("227c003ac2992dad"),
        "7fbc0cf535b17afb24d5cd35be8d86f0e55b73baa748d7866d7d3dc3c0005322",
    ),
    Vector(
        "300x16292_d16_c2",
        0xBC476DD6BB4A20F6,
        16384,
        300,
        19,
        bytes.fromhex("36fec953cd818d32"),
        "62da7ec3ee2fb644e2b4efd1065527b5e8a1cca5e5db4fb8d183603cc24c3575",
    ),
    Vector(
        "3x100000_d2_c1",
        0xED049DA178CF0ADC,
        4096,
        75,
        38,
        bytes.fromhex("d895ae177723e57b"),
        "00f09159f1d0f2739f7457789fd05818359b0fe11c01dc1388557d50bc7e1507",
    ),
    Vector(
        "9x300001_d4_c2_b64K",
        0xC0B9CA4E435A8766,
        65536,
        45,
        10,
        bytes.fromhex("60de10a5d6f1da01"),
        "750a19a45708f111be21db600d434bf6b25ff8438b454f4dbfba4aab3065f4cf",
    ),
]
