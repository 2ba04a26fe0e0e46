-- SPDX-License-Identifier: BSD-2-Clause
-- The ciphers of RFC 8548 in plain Lua 5.2, for opening only: SHA-256, HMAC, CPRF, AES-GCM and
-- ChaCha20-Poly1305. For a packet dissector: neither fast nor safe against timing. Strings of
-- bytes go in and come out.

local band, bor, bxor, bnot = bit32.band, bit32.bor, bit32.bxor, bit32.bnot
local lshift, rshift, lrotate, rrotate = bit32.lshift, bit32.rshift, bit32.lrotate, bit32.rrotate
local char, byte = string.char, string.byte

local function be32(s, i)
	local a, b, c, d = byte(s, i, i + 3)
	return ((a * 256 + b) * 256 + c) * 256 + d
end

local function le32(s, i)
	local a, b, c, d = byte(s, i, i + 3)
	return ((d * 256 + c) * 256 + b) * 256 + a
end

local function put_be32(v)
	return char(rshift(v, 24), band(rshift(v, 16), 255), band(rshift(v, 8), 255), band(v, 255))
end

local function put_le32(v)
	return char(band(v, 255), band(rshift(v, 8), 255), band(rshift(v, 16), 255), rshift(v, 24))
end

local function xor(a, b)
	local out = {}
	for i = 1, #a do
		out[i] = char(bxor(byte(a, i), byte(b, i)))
	end
	return table.concat(out)
end

-- FIPS 180-4 ------------------------------------------------------------------------------------

-- The first 32 bits of the fractional part of a root of each of the first primes.
local function root_bits(count, exponent)
	local found, n = {}, 2
	while #found < count do
		local prime = true
		for d = 2, math.floor(math.sqrt(n)) do
			prime = prime and n % d ~= 0
		end
		if prime then
			local root = n ^ exponent
			found[#found + 1] = math.floor((root - math.floor(root)) * 4294967296)
		end
		n = n + 1
	end
	return found
end

local K, H0 = root_bits(64, 1 / 3), root_bits(8, 1 / 2)

local function sha256_block(h, s, at)
	local w = {}
	for i = 1, 16 do
		w[i] = be32(s, at + 4 * (i - 1))
	end
	for i = 17, 64 do
		local x, y = w[i - 15], w[i - 2]
		local s0 = bxor(rrotate(x, 7), rrotate(x, 18), rshift(x, 3))
		local s1 = bxor(rrotate(y, 17), rrotate(y, 19), rshift(y, 10))
		w[i] = (w[i - 16] + s0 + w[i - 7] + s1) % 4294967296
	end
	local a, b, c, d, e, f, g, k = h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8]
	for i = 1, 64 do
		local s1 = bxor(rrotate(e, 6), rrotate(e, 11), rrotate(e, 25))
		local t1 = k + s1 + bxor(band(e, f), band(bnot(e), g)) + K[i] + w[i]
		local s0 = bxor(rrotate(a, 2), rrotate(a, 13), rrotate(a, 22))
		local t2 = s0 + bxor(band(a, b), band(a, c), band(b, c))
		k, g, f, e = g, f, e, (d + t1) % 4294967296
		d, c, b, a = c, b, a, (t1 + t2) % 4294967296
	end
	for i, v in ipairs({ a, b, c, d, e, f, g, k }) do
		h[i] = (h[i] + v) % 4294967296
	end
end

local function sha256(s)
	local h = { H0[1], H0[2], H0[3], H0[4], H0[5], H0[6], H0[7], H0[8] }
	local padding = "\128" .. ("\0"):rep((55 - #s) % 64) .. "\0\0\0\0" .. put_be32(#s * 8)
	local message = s .. padding
	for at = 1, #message, 64 do
		sha256_block(h, message, at)
	end
	for i = 1, 8 do
		h[i] = put_be32(h[i])
	end
	return table.concat(h)
end

-- RFC 2104, for keys of at most a block
local function hmac(key, s)
	key = key .. ("\0"):rep(64 - #key)
	return sha256(xor(key, ("\92"):rep(64)) .. sha256(xor(key, ("\54"):rep(64)) .. s))
end

-- RFC 8548 section 3.1: HKDF-Expand
local function cprf(key, constant, len)
	local out, block = "", ""
	for i = 1, math.ceil(len / 32) do
		block = hmac(key, block .. char(constant) .. char(i))
		out = out .. block
	end
	return out:sub(1, len)
end

-- AES, FIPS 197 ---------------------------------------------------------------------------------

local function double(x)
	return x < 128 and 2 * x or bxor(band(2 * x, 255), 27)
end

local SBOX, T = {}, { {}, {}, {}, {} }
do
	local p, q = 1, 1
	repeat
		p = bxor(p, double(p)) -- times 3
		q = bxor(q, lshift(q, 1)) -- divided by 3
		q = bxor(q, lshift(q, 2))
		q = band(bxor(q, lshift(q, 4)), 255)
		q = q >= 128 and bxor(q, 9) or q
		local x = bor(q, lshift(q, 8))
		x = bxor(x, rshift(x, 7), rshift(x, 6), rshift(x, 5), rshift(x, 4))
		SBOX[p] = bxor(band(x, 255), 99)
	until p == 1
	SBOX[0] = 99
	for i = 0, 255 do
		local s, d = SBOX[i], double(SBOX[i])
		local word = d * 16777216 + s * 65536 + s * 256 + bxor(s, d)
		for j = 1, 4 do
			T[j][i] = rrotate(word, 8 * (j - 1))
		end
	end
end

local function sub_word(w)
	return SBOX[rshift(w, 24)] * 16777216 + SBOX[band(rshift(w, 16), 255)] * 65536
		+ SBOX[band(rshift(w, 8), 255)] * 256 + SBOX[band(w, 255)]
end

local function aes_expand(key)
	local n, w, rcon = #key / 4, {}, 1
	for i = 0, n - 1 do
		w[i] = be32(key, 4 * i + 1)
	end
	for i = n, 4 * (n + 7) - 1 do
		local t = w[i - 1]
		if i % n == 0 then
			t = bxor(sub_word(lrotate(t, 8)), rcon * 16777216)
			rcon = double(rcon)
		elseif n > 6 and i % n == 4 then
			t = sub_word(t)
		end
		w[i] = bxor(w[i - n], t)
	end
	return { words = w, rounds = n + 6 }
end

local function aes_column(a, b, c, d, k)
	return bxor(T[1][rshift(a, 24)], T[2][band(rshift(b, 16), 255)],
		T[3][band(rshift(c, 8), 255)], T[4][band(d, 255)], k)
end

local function aes_last(a, b, c, d, k)
	return bxor(SBOX[rshift(a, 24)] * 16777216 + SBOX[band(rshift(b, 16), 255)] * 65536
		+ SBOX[band(rshift(c, 8), 255)] * 256 + SBOX[band(d, 255)], k)
end

-- One block as four words.
local function aes_block(key, a, b, c, d)
	local w = key.words
	a, b, c, d = bxor(a, w[0]), bxor(b, w[1]), bxor(c, w[2]), bxor(d, w[3])
	for r = 1, key.rounds - 1 do
		a, b, c, d = aes_column(a, b, c, d, w[4 * r]), aes_column(b, c, d, a, w[4 * r + 1]),
			aes_column(c, d, a, b, w[4 * r + 2]), aes_column(d, a, b, c, w[4 * r + 3])
	end
	local n = 4 * key.rounds
	return aes_last(a, b, c, d, w[n]), aes_last(b, c, d, a, w[n + 1]),
		aes_last(c, d, a, b, w[n + 2]), aes_last(d, a, b, c, w[n + 3])
end

-- GCM, NIST SP 800-38D --------------------------------------------------------------------------

local function halve(a, b, c, d)
	local carry = band(d, 1)
	d = bor(rshift(d, 1), lshift(c, 31))
	c = bor(rshift(c, 1), lshift(b, 31))
	b = bor(rshift(b, 1), lshift(a, 31))
	a = bxor(rshift(a, 1), carry * 0xe1000000)
	return a, b, c, d
end

-- REDUCE[i]: what falls off the end when a block moves by four bits with i in the last four.
local REDUCE = {}
for i = 0, 15 do
	local a, b, c, d = 0, 0, 0, i
	for _ = 1, 4 do
		a, b, c, d = halve(a, b, c, d)
	end
	REDUCE[i] = a
end

-- The multiples of H by every four bits.
local function ghash_table(a, b, c, d)
	local m = { [0] = { 0, 0, 0, 0 }, [8] = { a, b, c, d } }
	for _, i in ipairs({ 4, 2, 1 }) do
		m[i] = { halve(m[2 * i][1], m[2 * i][2], m[2 * i][3], m[2 * i][4]) }
	end
	for i = 1, 15 do
		local top = i >= 8 and 8 or i >= 4 and 4 or i >= 2 and 2 or 1
		if i ~= top then
			local x, y = m[top], m[i - top]
			m[i] = { bxor(x[1], y[1]), bxor(x[2], y[2]), bxor(x[3], y[3]), bxor(x[4], y[4]) }
		end
	end
	return m
end

local function ghash_multiply(m, words)
	local a, b, c, d = 0, 0, 0, 0
	for i = 4, 1, -1 do
		for shift = 0, 28, 4 do
			local falls = band(d, 15)
			d = bor(rshift(d, 4), lshift(c, 28))
			c = bor(rshift(c, 4), lshift(b, 28))
			b = bor(rshift(b, 4), lshift(a, 28))
			a = bxor(rshift(a, 4), REDUCE[falls])
			local x = m[band(rshift(words[i], shift), 15)]
			a, b, c, d = bxor(a, x[1]), bxor(b, x[2]), bxor(c, x[3]), bxor(d, x[4])
		end
	end
	words[1], words[2], words[3], words[4] = a, b, c, d
end

local function pad16(s)
	return s .. ("\0"):rep(-#s % 16)
end

local function ghash(m, s)
	local y = { 0, 0, 0, 0 }
	for at = 1, #s, 16 do
		for i = 1, 4 do
			y[i] = bxor(y[i], be32(s, at + 4 * (i - 1)))
		end
		ghash_multiply(m, y)
	end
	return put_be32(y[1]) .. put_be32(y[2]) .. put_be32(y[3]) .. put_be32(y[4])
end

local function gcm_open(key, nonce, ad, text, tag)
	key = aes_expand(key)
	local n1, n2, n3 = be32(nonce, 1), be32(nonce, 5), be32(nonce, 9)
	local function block(counter)
		local a, b, c, d = aes_block(key, n1, n2, n3, counter)
		return put_be32(a) .. put_be32(b) .. put_be32(c) .. put_be32(d)
	end
	local lengths = put_be32(0) .. put_be32(#ad * 8) .. put_be32(0) .. put_be32(#text * 8)
	local m = ghash_table(aes_block(key, 0, 0, 0, 0))
	if xor(ghash(m, pad16(ad) .. pad16(text) .. lengths), block(1)) ~= tag then
		return nil
	end
	local out = {}
	for at = 1, #text, 16 do
		out[#out + 1] = xor(text:sub(at, at + 15), block(2 + (at - 1) / 16))
	end
	return table.concat(out)
end

-- ChaCha20-Poly1305, RFC 8439 -------------------------------------------------------------------

local function quarter(x, a, b, c, d)
	x[a] = (x[a] + x[b]) % 4294967296
	x[d] = lrotate(bxor(x[d], x[a]), 16)
	x[c] = (x[c] + x[d]) % 4294967296
	x[b] = lrotate(bxor(x[b], x[c]), 12)
	x[a] = (x[a] + x[b]) % 4294967296
	x[d] = lrotate(bxor(x[d], x[a]), 8)
	x[c] = (x[c] + x[d]) % 4294967296
	x[b] = lrotate(bxor(x[b], x[c]), 7)
end

local QUARTERS = {
	{ 1, 5, 9, 13 }, { 2, 6, 10, 14 }, { 3, 7, 11, 15 }, { 4, 8, 12, 16 },
	{ 1, 6, 11, 16 }, { 2, 7, 12, 13 }, { 3, 8, 9, 14 }, { 4, 5, 10, 15 },
}

local function chacha_block(key, counter, nonce)
	local start = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 }
	for i = 0, 7 do
		start[5 + i] = le32(key, 1 + 4 * i)
	end
	start[13] = counter
	for i = 0, 2 do
		start[14 + i] = le32(nonce, 1 + 4 * i)
	end
	local x = {}
	for i = 1, 16 do
		x[i] = start[i]
	end
	for _ = 1, 10 do
		for _, q in ipairs(QUARTERS) do
			quarter(x, q[1], q[2], q[3], q[4])
		end
	end
	for i = 1, 16 do
		x[i] = put_le32((x[i] + start[i]) % 4294967296)
	end
	return table.concat(x)
end

-- Numbers of 130 bits in ten pieces of 13, whose products a double holds exactly.
local function pieces(s)
	local out, value, bits = {}, 0, 0
	for i = 1, #s do
		value = value + byte(s, i) * 2 ^ bits
		bits = bits + 8
		if bits >= 13 then
			out[#out + 1] = value % 8192
			value, bits = math.floor(value / 8192), bits - 13
		end
	end
	out[#out + 1] = value
	for i = #out + 1, 10 do
		out[i] = 0
	end
	return out
end

-- Carries, and brings what is beyond 2^130 back in five times.
local function settle(h)
	local carry = 0
	for _ = 1, 2 do
		for i = 1, 10 do
			h[i] = h[i] + carry
			carry = math.floor(h[i] / 8192)
			h[i] = h[i] % 8192
		end
		carry = carry * 5
	end
	h[1] = h[1] + carry
end

local function multiply(h, r)
	local out = {}
	for i = 1, 10 do
		local sum = 0
		for j = 1, 10 do
			local k = i - j + 1
			sum = sum + (k >= 1 and h[j] * r[k] or 5 * h[j] * r[k + 10])
		end
		out[i] = sum
	end
	settle(out)
	return out
end

-- h modulo 2^130 - 5, plus s, modulo 2^128.
local function finish(h, s)
	settle(h)
	local less, carry = {}, 5
	for i = 1, 10 do
		less[i] = h[i] + carry
		carry = math.floor(less[i] / 8192)
		less[i] = less[i] % 8192
	end
	local from, added = carry > 0 and less or h, pieces(s)
	local out, value, bits, carried = {}, 0, 0, 0
	for i = 1, 10 do
		local sum = from[i] + added[i] + carried
		carried = math.floor(sum / 8192)
		value = value + (sum % 8192) * 2 ^ bits
		bits = bits + 13
		while bits >= 8 and #out < 16 do
			out[#out + 1] = char(value % 256)
			value, bits = math.floor(value / 256), bits - 8
		end
	end
	return table.concat(out)
end

local CLAMP = "\255\255\255\15\252\255\255\15\252\255\255\15\252\255\255\15"

local function poly1305(key, s)
	local clamped = {}
	for i = 1, 16 do
		clamped[i] = char(band(byte(key, i), byte(CLAMP, i)))
	end
	local r, h = pieces(table.concat(clamped)), pieces("")
	for at = 1, #s, 16 do
		local block = pieces(s:sub(at, at + 15) .. "\1")
		for i = 1, 10 do
			h[i] = h[i] + block[i]
		end
		h = multiply(h, r)
	end
	return finish(h, key:sub(17, 32))
end

local function chacha_open(key, nonce, ad, text, tag)
	local lengths = put_le32(#ad) .. put_le32(0) .. put_le32(#text) .. put_le32(0)
	local once = chacha_block(key, 0, nonce):sub(1, 32)
	if poly1305(once, pad16(ad) .. pad16(text) .. lengths) ~= tag then
		return nil
	end
	local out = {}
	for at = 1, #text, 64 do
		out[#out + 1] = xor(text:sub(at, at + 63), chacha_block(key, 1 + (at - 1) / 64, nonce))
	end
	return table.concat(out)
end

-- RFC 8548 table 5: name, key length, and open(key, nonce, associated data, ciphertext, tag),
-- which returns the plaintext or nil.
local AEADS = {
	[0x0001] = { name = "AEAD_AES_128_GCM", key_len = 16, open = gcm_open },
	[0x0002] = { name = "AEAD_AES_256_GCM", key_len = 32, open = gcm_open },
	[0x0010] = { name = "AEAD_CHACHA20_POLY1305", key_len = 32, open = chacha_open },
}

tcpcrypt_crypto = { aeads = AEADS, cprf = cprf, sha256 = sha256, xor = xor }
return tcpcrypt_crypto
