"""Golden files of @transmla/tensor-io, from PyTorch and the reference packages `safetensors` and `gguf`.

python3 -m venv .venv && .venv/bin/pip install -r tools/golden/requirements.txt
.venv/bin/python tools/golden/tensor_io.py

The files are committed; this script is not needed to install, build or test.
"""

import base64
import json
import shutil
import struct
from pathlib import Path

import gguf
import numpy as np
import safetensors
import torch
from huggingface_hub import save_torch_state_dict
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parents[2] / "packages" / "tensor-io" / "golden"
torch.manual_seed(0)
rng = np.random.default_rng(0)

FLOATS = {
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
}


def b64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def write_json(name: str, value) -> None:
    (OUT / name).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def all_dtypes() -> None:
    """One tensor of every type that PyTorch can write; names and shapes that test order and escapes."""
    base = torch.randn(3, 4) * 10
    tensors = {f"z.{str(t).split('.')[1]}": base.to(t) for t in [torch.float64, torch.float32, *FLOATS.values()]}
    integers = torch.tensor([[-128, 127], [0, 5]])
    for t in [torch.int64, torch.int32, torch.int16, torch.int8]:
        tensors[f"a.{str(t).split('.')[1]}"] = integers.to(t)
    for t in [torch.uint64, torch.uint32, torch.uint16, torch.uint8]:
        tensors[f"m.{str(t).split('.')[1]}"] = torch.tensor([0, 1, 255]).to(t)
    tensors["bool"] = torch.tensor([True, False, True])
    tensors["complex"] = torch.tensor([1 + 2j, -3j], dtype=torch.complex64)
    tensors["scalar"] = torch.tensor(1.5)
    tensors["empty"] = torch.zeros(0, 7)
    tensors['quote " back \\ tab \t bell \u0007 del \u007f line \u2028'] = torch.ones(1)
    tensors["\uffee before"] = torch.ones(1)
    tensors["\U0001f600 after"] = torch.ones(1)
    save_file(tensors, OUT / "all-dtypes.safetensors", metadata={"format": "pt \u00e9\n"})
    expected = {
        name: {"shape": list(t.shape), "f32": b64(t.to(torch.float32).numpy())}
        for name, t in tensors.items()
        if not t.is_complex()
    }
    write_json("all-dtypes.json", expected)


def floats() -> None:
    """Codes to float32 and float32 to codes, as PyTorch converts them."""
    decode = {}
    for name, dtype in FLOATS.items():
        if name in ("F16", "BF16"):
            edges = [0, 1, 2, 0x3FF, 0x400, 0x401, 0x7BFF, 0x7C00, 0x7C01, 0x7F7F, 0x7F80, 0x7F81, 0x7FC0, 0x7FFF, 0x80, 0x7F]
            edges = edges + [e | 0x8000 for e in edges]
            codes = np.array(edges + list(rng.integers(0, 65536, 500)), dtype=np.uint16)
            stored = torch.from_numpy(codes.view(np.int16)).view(dtype)
        else:
            codes = np.arange(256, dtype=np.uint8)
            stored = torch.from_numpy(codes).view(dtype)
        decode[name] = {"codes": b64(codes), "f32": b64(stored.to(torch.float32).numpy())}

    # Every representable value's neighbourhood: the values, the midpoints and one float32 step around them.
    points = [0.0, 1e-45, 1e-40, 1.17549435e-38, 3.4e38, 65504, 65519.99, 65520, 57344, 61440, 448, 464, 240, 248, 1e30]
    for name, dtype in FLOATS.items():
        table = np.frombuffer(base64.b64decode(decode[name]["f32"]), dtype=np.float32)
        finite = np.unique(np.abs(table[np.isfinite(table)]))
        finite = finite[:: max(1, len(finite) // 64)]
        middles = (finite[1:].astype(np.float64) + finite[:-1]) / 2
        points += [*finite, *middles]
    points = np.unique(np.array(points, dtype=np.float32))
    with np.errstate(over="ignore"):
        around = [points, np.nextafter(points, np.float32(np.inf)), np.nextafter(points, np.float32(0))]
    values = np.unique(np.concatenate(around))
    values = np.concatenate([values, -values, [np.inf, -np.inf, np.nan]]).astype(np.float32)
    codes = {}
    for name, dtype in FLOATS.items():
        stored = torch.from_numpy(values).to(dtype)
        codes[name] = b64(stored.view(torch.int16 if name in ("F16", "BF16") else torch.uint8).numpy())
    write_json("floats.json", {"decode": decode, "encode": {"f32": b64(values), "codes": codes}})


def sharded() -> None:
    """A checkpoint in three shards, as the Hugging Face tools write it."""
    folder = OUT / "sharded"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    names = ["model.embed.weight", "model.layers.0.q.weight", "model.layers.0.k.weight", "model.layers.1.q.weight", "model.norm.weight", "lm_head.weight"]
    shapes = [(16, 8), (8, 8), (4, 8), (8, 8), (8,), (16, 8)]
    state = {n: torch.randn(s).to(torch.bfloat16) for n, s in zip(names, shapes)}
    state["model.norm.weight"] = state["model.norm.weight"].float()
    save_torch_state_dict(state, folder, max_shard_size=300)
    order = [{"name": n, "dtype": "F32" if t.dtype == torch.float32 else "BF16", "shape": list(t.shape)} for n, t in state.items()]
    write_json("sharded-order.json", order)


def random_blocks(dtype: gguf.GGMLQuantizationType, rows: int, columns: int) -> np.ndarray:
    """Blocks of random bits with finite scales; the package cannot quantise to the K types."""
    elements, size = gguf.GGML_QUANT_SIZES[dtype]
    blocks = rng.integers(0, 256, (rows * columns // elements, size), dtype=np.uint8)
    scales = {"Q4_0": [0], "Q8_0": [0], "Q5_0": [0], "Q4_1": [0, 2], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
    for at in scales[dtype.name]:
        halves = rng.normal(0, 0.1, len(blocks)).astype(np.float16)
        blocks[:, at : at + 2] = halves.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(rows, -1)


def gguf_file() -> None:
    path = OUT / "every-type.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint8("t.u8", 200)
    writer.add_int8("t.i8", -100)
    writer.add_uint16("t.u16", 60000)
    writer.add_int16("t.i16", -30000)
    writer.add_uint32("t.u32", 4_000_000_000)
    writer.add_int32("t.i32", -2_000_000_000)
    writer.add_float32("t.f32", 0.1)
    writer.add_bool("t.bool", True)
    writer.add_string("t.string", "h\u00e9llo \U0001f600")
    writer.add_uint64("t.u64.small", 7)
    writer.add_uint64("t.u64", 2**64 - 1)
    writer.add_int64("t.i64", -(2**63))
    writer.add_float64("t.f64", 0.1)
    writer.add_array("t.strings", ["a", "", "\u00fc"])
    writer.add_array("t.bools", [True, False])
    writer.add_array("t.ints", [-1, 2])
    writer.add_array("t.floats", [0.5, -1.5])
    for name, kind, values in [("t.u8s", "UINT8", [0, 255]), ("t.i64s", "INT64", [-(2**63), 1]), ("t.u64s", "UINT64", [2**64 - 1])]:
        writer.add_key_value(name, values, gguf.GGUFValueType.ARRAY, sub_type=gguf.GGUFValueType[kind])
    expected = {}
    dense = rng.normal(0, 1, (3, 5)).astype(np.float32)
    for name, array in {
        "F32": dense,
        "F16": dense.astype(np.float16),
        "F64": dense.astype(np.float64),
        "I8": np.array([-128, 127], dtype=np.int8),
        "I16": np.array([-32768, 32767], dtype=np.int16),
        "I32": np.array([-5, 5], dtype=np.int32),
        "I64": np.array([-5, 2**40], dtype=np.int64),
    }.items():
        writer.add_tensor(f"tensor.{name}", array)
        expected[f"tensor.{name}"] = {"dtype": name, "shape": list(array.shape), "f32": b64(array.astype(np.float32))}
    bf16 = gguf.quants.quantize(dense, gguf.GGMLQuantizationType.BF16)
    writer.add_tensor("tensor.BF16", bf16, raw_dtype=gguf.GGMLQuantizationType.BF16)
    wide = gguf.quants.dequantize(bf16, gguf.GGMLQuantizationType.BF16)
    expected["tensor.BF16"] = {"dtype": "BF16", "shape": [3, 5], "f32": b64(wide)}
    for name in ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"]:
        dtype = gguf.GGMLQuantizationType[name]
        blocks = random_blocks(dtype, 2, 512)
        writer.add_tensor(f"tensor.{name}", blocks, raw_dtype=dtype)
        values = gguf.quants.dequantize(blocks, dtype)
        expected[f"tensor.{name}"] = {"dtype": name, "shape": [2, 512], "f32": b64(values)}
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    write_json("every-type.json", expected)


def q8_0() -> None:
    """Blocks quantised by the package: normal numbers, zeros, subnormal scales, ties, one outlier."""
    rng = np.random.default_rng(8)
    values = rng.normal(0, 1, (8, 32)).astype(np.float32)
    values[1] = 0
    values[2] *= 1e-7
    values[3] = np.arange(32) / 2 - 8
    values[3, 0] = 127
    values[4, 5] = 6e4
    blocks = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
    write_json("q8_0.json", {"f32": b64(values), "q8_0": b64(blocks)})


def verdicts() -> None:
    """What the Rust crate says to good and bad headers."""
    one = '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    entry = lambda dtype, shape, begin, end: f'{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}'
    cases = [
        ("", 0), ("{}", 0), ("{}  \n", 0), ("{}", 4), ("[]", 0), ("null", 0), ("{", 0), ("{}x", 0), ("{}\0", 0), ("\ufeff{}", 0),
        (one, 4), (one, 3), (one, 5), (one, 0),
        ('{"__metadata__":{"k":"v"}}', 0), ('{"__metadata__":{"k":1}}', 0), ('{"__metadata__":[]}', 0), ('{"a":1}', 0),
    ]
    for dtype, shape, begin, end in [
        ("F32", [], 0, 4), ("F32", [0], 0, 0), ("F32", [2**60, 0], 0, 0), ("F64", [1], 0, 4), ("FLOAT", [1], 0, 4), ("f32", [1], 0, 4),
        ("F32", [1], 1, 5), ("F32", [1], 4, 0), ("F32", [2], 0, 4), ("F32", [2**62], 0, 4), ("F32", [2**53 + 1], 0, 4), ("F32", [2**32, 2**32], 0, 4),
        ("F32", [2**64], 0, 4), ("F32", [2**64 - 1], 0, 4), ("F32", [-1], 0, 4), ("F32", [1.0], 0, 4), ("F32", "[1e0]", 0, 4), ("F32", "[-0]", 0, 4), ("F32", "[01]", 0, 4),
        ("F32", '["1"]', 0, 4), ("F32", "null", 0, 4), ("F32", [1], 0, 2**63), ("F32", [1], 0, 2**64), ("F32", [1], "0.0", 4), ("F32", [1], -1, 4), ("F4", [8], 0, 4),
        ("F4", [7], 0, 4), ("F6_E2M3", [4], 0, 3), ("F6_E3M2", [2], 0, 4), ("F8_E8M0", [4], 0, 4), ("BOOL", [4], 0, 4), ("C64", [1], 0, 8), ("U8", [2, 2], 0, 4),
    ]:
        if isinstance(shape, list):
            shape = json.dumps(shape)
        cases.append((f'{{"a":{entry(dtype, shape, begin, end)}}}', 8 if dtype == "C64" else 0 if end == 0 else 3 if "F6_E2" in dtype else 4))
    for first, second, data in [
        (("F32", [1], 0, 4), ("F32", [1], 4, 8), 8), (("F32", [1], 4, 8), ("F32", [1], 0, 4), 8), (("F32", [1], 0, 4), ("F32", [1], 0, 4), 4),
        (("F32", [1], 0, 4), ("F32", [1], 5, 9), 9), (("F32", [1], 0, 4), ("F32", [1], 3, 7), 7), (("U8", [0], 0, 0), ("F32", [1], 0, 4), 4),
        (("U8", [1], 0, 1), ("F32", [1], 1, 5), 5), (("F32", [2**62], 0, 4), ("F32", [1], 9, 13), 13), (("F32", [2], 0, 4), ("F4", [1], 4, 5), 5),
    ]:
        cases.append((f'{{"a":{entry(*first)},"b":{entry(*second)}}}', data))
    cases += [(one[:-1] + ',"b":{"dtype":"F32","shape":[1]}}', 8), ('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}', 4), ('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}', 4)]
    result = []
    for header, data in cases:
        raw = header.encode()
        result.append({"header": header, "data": data, "error": verdict(struct.pack("<Q", len(raw)) + raw + bytes(data))})
    files = {"empty": b"", "seven": bytes(7), "huge": struct.pack("<Q", 2**63) + b"{}", "over": struct.pack("<Q", 100_000_001) + b"{}", "short": struct.pack("<Q", 3) + b"{}", "utf8": struct.pack("<Q", 2) + b"\xff\xfe"}
    write_json("verdicts.json", {"headers": result, "files": [{"bytes": b64(np.frombuffer(b, np.uint8)), "error": verdict(b)} for b in files.values()]})


def verdict(data: bytes):
    try:
        safetensors.deserialize(data)
        return None
    except safetensors.SafetensorError as error:
        return str(error).removeprefix("Error while deserializing: ")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    all_dtypes()
    floats()
    sharded()
    gguf_file()
    q8_0()
    verdicts()
