-- SPDX-License-Identifier: BSD-2-Clause
-- Wireshark dissector for TCP-ENO (RFC 8547) and tcpcrypt (RFC 8548): the ENO option, the Init
-- messages and the frames; their content with a key log. doc/keylog.md says how to use it.

-- Wireshark looks a relative name up elsewhere, so the folder is made part of it.
local folder = __FILE__:match("^(.*[/\\])") or "./"
local crypto = tcpcrypt_crypto or dofile(folder .. "tcpcrypt_crypto.lua")

local ENO_KIND = 69
local INIT1, INIT2 = 0x15101a0e, 0x097105e0
local HEADER_LEN, TAG_LEN, NONCE_LEN, HALF_LEN = 3, 16, 32, 9
local CONST_REKEY, CONST_KEY = 0x03, { A = 0x04, B = 0x05 }

local TEPS = {
	[0x20] = "Experimental use",
	[0x21] = "TCPCRYPT_ECDHE_P256",
	[0x22] = "TCPCRYPT_ECDHE_P521",
	[0x23] = "TCPCRYPT_ECDHE_Curve25519",
	[0x24] = "TCPCRYPT_ECDHE_Curve448",
}
local AEADS = {}
for id, aead in pairs(crypto.aeads) do
	AEADS[id] = aead.name
end

local eno = Proto("tcpeno", "TCP Encryption Negotiation Option")
local tcpcrypt = Proto("tcpcrypt", "tcpcrypt")

local e = {
	kind = ProtoField.uint8("tcpeno.kind", "Kind"),
	length = ProtoField.uint8("tcpeno.length", "Length"),
	global = ProtoField.uint8("tcpeno.global", "Global suboption", base.HEX),
	reserved = ProtoField.uint8("tcpeno.global.reserved", "Reserved", base.HEX, nil, 0x1c),
	a = ProtoField.bool("tcpeno.global.a", "Application-aware (a)", 8, nil, 0x02),
	b = ProtoField.bool("tcpeno.global.b", "Passive role (b)", 8, nil, 0x01),
	length_byte = ProtoField.uint8("tcpeno.length_byte", "Length of the next suboption's data"),
	tep = ProtoField.uint8("tcpeno.tep", "TEP", base.HEX, TEPS, 0x7f),
	v = ProtoField.bool("tcpeno.v", "Data follows (v)", 8, nil, 0x80),
	data = ProtoField.bytes("tcpeno.data", "Suboption data"),
	half = ProtoField.bytes("tcpeno.resume.half", "Resumption identifier half"),
	nonce = ProtoField.bytes("tcpeno.resume.nonce", "Resumption nonce"),
	content = ProtoField.bytes("tcpeno.content", "Content of the non-SYN form"),
}
eno.fields = e
local ill_formed = ProtoExpert.new("tcpeno.ill_formed", "Ill-formed ENO option",
	expert.group.MALFORMED, expert.severity.WARN)
eno.experts = { ill_formed }

local f = {
	magic = ProtoField.uint32("tcpcrypt.init.magic", "Magic", base.HEX,
		{ [INIT1] = "Init1", [INIT2] = "Init2" }),
	message_len = ProtoField.uint32("tcpcrypt.init.message_len", "Message length"),
	nciphers = ProtoField.uint8("tcpcrypt.init.nciphers", "Ciphers offered"),
	cipher = ProtoField.uint16("tcpcrypt.init.cipher", "Cipher", base.HEX, AEADS),
	nonce = ProtoField.bytes("tcpcrypt.init.nonce", "Nonce"),
	pubkey_len = ProtoField.uint16("tcpcrypt.init.pubkey_len", "Public key length"),
	pubkey = ProtoField.bytes("tcpcrypt.init.pubkey", "Public key"),
	ignored = ProtoField.bytes("tcpcrypt.init.ignored", "Ignored"),
	control = ProtoField.uint8("tcpcrypt.control", "Control", base.HEX),
	rekey = ProtoField.bool("tcpcrypt.control.rekey", "rekey", 8, nil, 0x01),
	clen = ProtoField.uint16("tcpcrypt.clen", "Ciphertext length"),
	ciphertext = ProtoField.bytes("tcpcrypt.ciphertext", "Ciphertext"),
	generation = ProtoField.uint64("tcpcrypt.generation", "Sender's key generation"),
	offset = ProtoField.uint64("tcpcrypt.offset", "Offset in the stream"),
	session_id = ProtoField.bytes("tcpcrypt.session_id", "Session ID"),
	authentic = ProtoField.bool("tcpcrypt.authentic", "Authentic under the key log"),
	flags = ProtoField.uint8("tcpcrypt.flags", "Flags", base.HEX),
	finp = ProtoField.bool("tcpcrypt.flags.finp", "FINp", 8, nil, 0x01),
	urgp = ProtoField.bool("tcpcrypt.flags.urgp", "URGp", 8, nil, 0x02),
	urgent = ProtoField.uint16("tcpcrypt.urgent", "Urgent"),
	data = ProtoField.bytes("tcpcrypt.data", "Application data"),
}
tcpcrypt.fields = f
local bad_frame = ProtoExpert.new("tcpcrypt.bad_frame", "Neither an Init message nor a frame",
	expert.group.MALFORMED, expert.severity.WARN)
tcpcrypt.experts = { bad_frame }
tcpcrypt.prefs.keylog = Pref.string("Key log", "", "A file as in doc/keylog.md of tcpcrypt")

local tcp_stream, tcp_syn = Field.new("tcp.stream"), Field.new("tcp.flags.syn")

-- What is known of each connection: [tcp.stream] = { tep, directions, keys }.
local streams = {}
-- Frames that were opened already, by connection, sender and tag: Wireshark asks again.
local opened = {}

function tcpcrypt.init()
	streams, opened = {}, {}
end

local function stream_of(pinfo)
	local id = tcp_stream().value
	streams[id] = streams[id] or { id = id, directions = {} }
	return streams[id]
end

local function end_text(address, port)
	local text = tostring(address)
	return (text:find(":", 1, true) and "[" .. text .. "]:" or text .. ":") .. port
end

-- ENO -------------------------------------------------------------------------------------------

local function resumption(tree, data)
	local n = data:len()
	tree:add(e.data, data)
	if n >= HALF_LEN and n <= HALF_LEN + 8 then
		tree:add(e.half, data(0, HALF_LEN))
		if n > HALF_LEN then
			tree:add(e.nonce, data(HALF_LEN))
		end
	end
end

-- A TEP suboption at `at` with `len` bytes of data.
local function suboption(tvb, tree, at, len)
	local octet = tvb(at, 1):uint()
	local tep = bit32.band(octet, 0x7f)
	local sub = tree:add(tvb(at, 1 + len), "TEP: " .. (TEPS[tep] or string.format("0x%02x", tep)))
	sub:add(e.v, tvb(at, 1))
	sub:add(e.tep, tvb(at, 1))
	if len > 0 then
		resumption(sub, tvb(at + 1, len))
	end
	return tep
end

local function global(tvb, tree, at)
	local sub = tree:add(e.global, tvb(at, 1))
	for _, field in ipairs({ e.reserved, e.a, e.b }) do
		sub:add(field, tvb(at, 1))
	end
end

-- The SYN form. Returns the last TEP, or nil when the option is ill-formed or vacuous.
local function syn_form(tvb, tree)
	local at, n, last = 2, tvb:len(), nil
	while at < n do
		local octet = tvb(at, 1):uint()
		local has_data, glt = octet >= 0x80, bit32.band(octet, 0x7f)
		if glt >= 0x20 then
			local len = has_data and n - at - 1 or 0
			last = suboption(tvb, tree, at, len)
			at = at + 1 + len
		elseif not has_data then
			global(tvb, tree, at)
			at = at + 1
		else
			local len = glt + 1
			tree:add(e.length_byte, tvb(at, 1), len)
			at = at + 1
			if at + 1 + len > n or tvb(at, 1):uint() < 0xa0 then
				tree:add_proto_expert_info(ill_formed)
				return nil
			end
			last = suboption(tvb, tree, at, len)
			at = at + 1 + len
		end
	end
	return last
end

function eno.dissector(tvb, pinfo, tree)
	local sub = tree:add(eno, tvb())
	sub:add(e.kind, tvb(0, 1))
	sub:add(e.length, tvb(1, 1))
	if tcp_syn().value then
		local stream = stream_of(pinfo)
		-- The later option is host B's but for simultaneous opens, and names one TEP.
		stream.tep = syn_form(tvb, sub) or stream.tep
	else
		if tvb:len() > 2 then
			sub:add(e.content, tvb(2))
		end
		-- ENO in an ACK: from here on it is encrypted, whatever the port says.
		pinfo.conversation = tcpcrypt
	end
	return tvb:len()
end

-- Keys ------------------------------------------------------------------------------------------

local function unhex(text)
	return (text:gsub("%x%x", function(pair)
		return string.char(tonumber(pair, 16))
	end))
end

-- The sessions of the key log between two ends, the latest first, as seen from `from`.
local function sessions_between(from, to)
	local found = {}
	local file = tcpcrypt.prefs.keylog ~= "" and io.open(tcpcrypt.prefs.keylog)
	for line in file and file:lines() or function() end do
		local here, there, label, aead, id, master =
			line:match("^TCPCRYPT (%S+) (%S+) ([AB]) (%x+) (%x+) (%x+)")
		local other = label == "A" and "B" or "A"
		local session = here and { aead = crypto.aeads[tonumber(aead, 16)],
			id = ByteArray.new(id), master = unhex(master) }
		if here == from and there == to then
			session.labels = { [from] = label, [to] = other }
		elseif here == to and there == from then
			session.labels = { [to] = label, [from] = other }
		end
		if session and session.labels and session.aead then
			table.insert(found, 1, session)
		end
	end
	if file then
		file:close()
	end
	return found
end

local function traffic_key(session, label, master)
	local key = crypto.cprf(master, CONST_KEY[label], session.aead.key_len + 12)
	return key:sub(1, session.aead.key_len), key:sub(session.aead.key_len + 1)
end

local function frame_nonce(randomizer, offset)
	local id = {}
	for i = 12, 1, -1 do
		id[i] = string.char(i > 4 and offset % 256 or 0)
		offset = i > 4 and math.floor(offset / 256) or offset
	end
	return crypto.xor(randomizer, table.concat(id))
end

local function try_open(session, from, master, offset, frame)
	local key, randomizer = traffic_key(session, session.labels[from], master)
	return session.aead.open(key, frame_nonce(randomizer, offset), frame:sub(1, HEADER_LEN),
		frame:sub(HEADER_LEN + 1, -TAG_LEN - 1), frame:sub(-TAG_LEN))
end

-- Opens the next frame of a direction with the session that fits; nil when none does.
local function open_frame(stream, direction, from, to, frame, rekey)
	local candidates = stream.session and { stream.session } or sessions_between(from, to)
	for _, session in ipairs(candidates) do
		local master = stream.session and direction.master or session.master
		master = master or session.master
		if rekey then
			master = crypto.cprf(master, CONST_REKEY, 32)
		end
		local plain = try_open(session, from, master, direction.offset, frame)
		if plain then
			stream.session, direction.master = session, master
			return plain, session
		end
	end
	return nil
end

-- tcpcrypt --------------------------------------------------------------------------------------

local function direction_of(stream, from)
	stream.directions[from] = stream.directions[from] or { offset = 0, generation = 0 }
	return stream.directions[from]
end

local function public_key(tvb, tree, at, tep)
	local lengths = { [0x23] = 32, [0x24] = 56 }
	local left = tvb:len() - at
	local len = lengths[tep] or left
	if (tep == 0x21 or tep == 0x22) and left >= 2 then
		tree:add(f.pubkey_len, tvb(at, 2))
		len, at, left = tvb(at, 2):uint(), at + 2, left - 2
	end
	len = math.min(len, left)
	if len > 0 then
		tree:add(f.pubkey, tvb(at, len))
	end
	if left > len then
		tree:add(f.ignored, tvb(at + len))
	end
end

local function init_message(tvb, tree, magic, stream)
	local at = 8
	tree:add(f.magic, tvb(0, 4))
	tree:add(f.message_len, tvb(4, 4))
	local n = 1
	if magic == INIT1 and tvb:len() > at then
		tree:add(f.nciphers, tvb(at, 1))
		n, at = tvb(at, 1):uint(), at + 1
	end
	if tvb:len() < at + 2 * n + NONCE_LEN then
		tree:add_proto_expert_info(bad_frame)
		return
	end
	for _ = 1, n do
		tree:add(f.cipher, tvb(at, 2))
		at = at + 2
	end
	tree:add(f.nonce, tvb(at, NONCE_LEN))
	public_key(tvb, tree, at + NONCE_LEN, stream.tep)
end

local function content(tree, plain)
	local tvb = ByteArray.new(plain, true):tvb("Decrypted")
	local flags = tree:add(f.flags, tvb(0, 1))
	local at = 1
	flags:add(f.finp, tvb(0, 1))
	flags:add(f.urgp, tvb(0, 1))
	if bit32.band(tvb(0, 1):uint(), 2) ~= 0 and tvb:len() >= 3 then
		tree:add(f.urgent, tvb(1, 2))
		at = 3
	end
	if tvb:len() > at then
		tree:add(f.data, tvb(at))
	end
end

-- A whole frame. The first time, the direction moves on; later it is looked up by its tag.
local function frame(tvb, pinfo, tree, stream, direction, from)
	local raw, rekey = tvb():raw(), tvb(0, 1):uint() % 2 == 1
	local memo = stream.id .. from .. raw:sub(-TAG_LEN)
	local known = opened[memo]
	if not known then
		direction.generation = direction.generation + (rekey and 1 or 0)
		known = { generation = direction.generation, offset = direction.offset }
		known.plain, known.session = open_frame(stream, direction, from,
			end_text(pinfo.dst, pinfo.dst_port), raw, rekey)
		direction.offset = direction.offset + #raw
		opened[memo] = known
	end
	tree:add(f.control, tvb(0, 1)):add(f.rekey, tvb(0, 1))
	tree:add(f.clen, tvb(1, 2))
	tree:add(f.ciphertext, tvb(HEADER_LEN))
	tree:add(f.generation, UInt64(known.generation)):set_generated()
	tree:add(f.offset, UInt64(known.offset % 4294967296, math.floor(known.offset / 4294967296)))
		:set_generated()
	if tcpcrypt.prefs.keylog ~= "" then
		tree:add(f.authentic, known.plain ~= nil):set_generated()
	end
	if known.plain then
		tree:add(f.session_id, known.session.id:tvb("Session ID")()):set_generated()
		content(tree, known.plain)
	end
end

local function is_init(tvb)
	local magic = tvb:len() >= 8 and tvb(0, 4):uint()
	return (magic == INIT1 or magic == INIT2) and magic or nil
end


local function message_length(tvb, pinfo, at)
	local rest = tvb(at):tvb()
	if is_init(rest) then
		return rest(4, 4):uint()
	end
	return HEADER_LEN + rest(1, 2):uint()
end

local function message(tvb, pinfo, tree)
	local stream = stream_of(pinfo)
	local from = end_text(pinfo.src, pinfo.src_port)
	local direction = direction_of(stream, from)
	local magic = is_init(tvb)
	local sub
	if magic and (direction.offset == 0 or direction.init == pinfo.number) then
		sub = tree:add(tcpcrypt, tvb(), magic == INIT1 and "tcpcrypt Init1" or "tcpcrypt Init2")
		init_message(tvb, sub, magic, stream)
		if direction.offset == 0 then
			direction.offset, direction.init = tvb:len(), pinfo.number
		end
	elseif tvb:len() < HEADER_LEN + 1 + TAG_LEN then
		sub = tree:add(tcpcrypt, tvb(), "tcpcrypt")
		sub:add_proto_expert_info(bad_frame)
	else
		sub = tree:add(tcpcrypt, tvb(), "tcpcrypt frame")
		frame(tvb, pinfo, sub, stream, direction, from)
	end
	return tvb:len()
end

function tcpcrypt.dissector(tvb, pinfo, tree)
	pinfo.cols.protocol = "tcpcrypt"
	-- Eight bytes tell the length of either; no frame and no Init message is shorter.
	dissect_tcp_pdus(tvb, tree, 8, message_length, message)
	return tvb:len()
end

-- A capture that lacks the handshake is recognised by its Init message.
tcpcrypt:register_heuristic("tcp", function(tvb, pinfo, tree)
	if not is_init(tvb) then
		return false
	end
	pinfo.conversation = tcpcrypt
	tcpcrypt.dissector(tvb, pinfo, tree)
	return true
end)

DissectorTable.get("tcp.option"):add(ENO_KIND, eno)
