#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Compares tern's Jinja subset with python3-jinja2, set up as Hugging Face transformers does.

usage: jinja2_oracle_test.py JINJA_RENDER [DATA_DIR]

Every case is a template; both sides must give the same text, or both must refuse. Exits with 77 (skipped) where
jinja2 is not installed. With DATA_DIR the third-party templates/cases.jsonl are compared as well.
"""
import datetime
import itertools
import json
import os
import subprocess
import sys

try:
    import jinja2
    from jinja2 import nodes
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment
except ImportError:
    print("SKIPPED: python3-jinja2 is not installed")
    sys.exit(77)


class GenerationTag(Extension):
    """{% generation %}...{% endgeneration %}: a call block whose body is printed as it is."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_print"), [], [], body).set_lineno(line)

    def _print(self, caller):
        return caller()


def environment():
    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def strftime_now(format):
        return datetime.datetime(2024, 7, 26, 12, 34, 56).strftime(format)

    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, jinja2.ext.loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = strftime_now
    return env


VARS = {
    "s": "Hello, World", "e": "", "u": "h\u00e9llo \u4e16\u754c \U0001f600!", "sp": "  a  b \t c\n", "q": "it's \"q\"\\",
    "n": 7, "z": 0, "neg": -3, "f": 2.5, "big": 9007199254740993, "t": True, "no": False, "nil": None,
    "l": [3, 1, 2], "el": [], "ls": ["b", "A", "c", "a"], "nested": [[1, 2], [3], []], "mixed": [1, "a", None, 2.5, True],
    "d": {"b": 1, "a": [1, 2], "C": {"x": None}}, "ed": {}, "items_key": {"items": 5, "keys": 6, "x": 7},
    "people": [{"name": "Bob", "age": 30, "ok": True, "at": {"c": "x"}}, {"name": "alice", "age": 25, "at": {"c": "Y"}},
               {"name": "Carl", "age": 30, "ok": False, "at": {"c": "x"}}],
    "msgs": [{"role": "user", "content": " hi "}, {"role": "assistant", "content": "yo", "tool_calls": []}],
    "lines": "one\ntwo\n\n  three\r\nfour\n", "title": "they're bill's o'NEILL (foo-bar) [baz] <qux> 3rd",
    "html": "<a href='x'>&\"</a>", "csv": "a,b,,c,", "num": " 42 ", "fl": "3.75e2", "hexa": "0x1F",
}

EXPRESSIONS = """
s|e|u|sp|q|n|z|neg|f|big|t|no|nil|l|el|ls|nested|mixed|d|ed|people
undefined_thing|d.missing|d['missing']|l[99]|d.C.x|d.C.x.y|nil.foo|undefined_thing.foo|undefined_thing['foo']
1 + 2|1 - 2|3 * 4|7 / 2|7 // 2|-7 // 2|7 % 3|-7 % 3|7 % -3|2 ** 10|2 ** -1|-2 ** 2|2 ** 3 ** 2|1 / 3|10 / 5|1e3|1e16|1e15
1.0|100.0|1e100|1.5e-5|0.0001|0.00001|123456789012345678|1.0 * 3|7.5 // 2|-7.5 // 2|7.5 % 2|-7.5 % 2|7.5 % -2|0.1 + 0.2|1e22|1e21|5e-324
1.7976931348623157e308|1e308 * 10|-(1e308 * 10)|(1e308 * 10) - (1e308 * 10)|2.0 ** 0.5|2.0 ** 1000|0 ** 0|0.0 ** 0|4 ** 0.5
True + 1|true * 3|-true|+true|- -3|not true|not not 1|not ''|not 0|1 if e else 2|1 if s|1 if e|(1 if e) is undefined
1 < 2 < 3|1 < 3 < 2|3 > 2 > 1 > 0|1 == 1.0|1 == true|'a' < 'b'|'a' < 'B'|[1, 2] < [1, 3]|(1, 2) < (1, 2, 3)|[1] == [1.0]|(1,) == [1]
'a' == 'a'|'1' == 1|none == none|none == false|undefined_thing == undefined_thing|undefined_thing == none|1 != 2|d == d|d == {'a': [1, 2], 'b': 1, 'C': {'x': none}}
'a' < 1|none < 1|[] < ()|1 < none|{} < {}|1 in 5|1 in [1, 2]|1.0 in [1]|'ell' in s|'z' in s|1 in 'abc'|none in 'abc'|'' in s|'b' in d|1 in d|[] in d|2 not in l
'x' in undefined_thing|'x' not in undefined_thing|2 in range(5)|5 in range(5)|4 in range(0, 10, 2)|'a' in ('a', 'b')
'a' 'b'|'a' + 'b'|'a' ~ 1 ~ none ~ true ~ 2.5|'a' + 1|1 + 'a'|[1] + [2]|(1,) + (2,)|[1] + (2,)|'ab' * 3|3 * 'ab'|'ab' * -1|[1, 2] * 2|'a' * 2.0
undefined_thing + 1|1 + undefined_thing|undefined_thing ~ 'x'|none + 1|{} + {}|1 / 0|1 // 0|1 % 0|1.0 / 0|1.0 // 0|1.0 % 0|0 ** -1
9223372036854775807|-9223372036854775807 - 1|4611686018427387904 * 2 - 1
[1, 2, 3]|(1, 2, 3)|(1,)|()|[]|{}|{'a': 1}|{'a': 1, 'b': [1, (2, 3)], 'c': {'d': none}}|{1: 'a', 2.5: 'b', none: 'c', true: 'd'}|{'a': 1, 'a': 2}|{[]: 1}
[none, true, false, 'x', "it's", 'say "hi"', 'both \\' "', 1.0]|['\\n\\t\\r\\\\', '\\x00\\x7f\\x80', '\\u00e9\\u4e16', '\\U0001f600', '\\u200b\\u2028\\ue000']
range(3)|range(1, 3)|range(0, 9, 3)|range(3)|list|range(10, 0, -3)|list|range(0)|list|range(5)[1]|range(5)[-1]|range(5)[1:3]|range(10)[::-2]|list|range(5)|length|range(3) == range(0, 3)
range(1.5)|range('a')|range()|range(1, 2, 0)|range(100000)|length|range(100001)
dict(a=1, b=2)|dict({'x': 1}, y=2)|dict([['a', 1], ('b', 2)])|dict([1])|dict(1)|namespace(a=1)|namespace(a=1).a|namespace(a=1).b|namespace({'q': 2}).q|namespace(a=1)['a']
loop|caller|varargs
s[0]|s[-1]|s[99]|s[1:4]|s[:3]|s[3:]|s[::-1]|s[::2]|s[-3:]|s[5:2]|s[5:2:-1]|s[100:]|s[:-100]|s[none:none]|u[0]|u[1]|u[-1]|u[::-1]|u[2:8]|u[-3:-1]|u[7]
l[0]|l[-1]|l[1:]|l[::-1]|l[:-1]|l[0:3:2]|l[5:]|l[-2:]|l['a']|l.0|l.5|nested[0][1]|nested.0.1|l[true]|l[none]|l[1.0]|l[::0]|(1, 2, 3)[1:]|(1, 2, 3)[-1]|()[0]
d[0]|d['a'][1]|d.a.1|d.a.0|d[none]|none[0]|none['x']|1[0]|(1).real|d[1:2]|s['x']|s.x|l.x|s[s]|undefined_thing[1:2]|s['a':]
d.keys()|d.values()|d.items()|d.items()|list|d.keys()|list|d.values()|list|d.get('a')|d.get('x')|d.get('x', 5)|d.get()|d.get([])|d.copy()|d.items()|length|d.keys()|first
items_key.items|items_key['items']|items_key.keys|items_key.x|items_key.items()|list
'items' in items_key|d|list|d|length|d|first|d|last|ed|first|ed|length|d.foo()|d.a()|s()|1()|none()|undefined_thing()
d.pop('a')|d.update({})|d.clear()|l.append(1)|l.extend([1])|l.sort()|l.reverse()|l.insert(0, 1)|l.remove(1)|d.setdefault('x', 1)|d.popitem()
l.index(1)|l.index(9)|l.count(1)|l.copy()|(1, 1, 2).count(1)|(1, 2).index(2)|l.pop()|l.pop(0)|l.pop(9)|el.pop()|l.pop('a')|l.clear()
s.__class__|s['__class__']|d.__init__|l.__len__()|undefined_thing.__foo__|s._private|d._x
"""

FILTERS = """
upper lower title capitalize trim length count first last list string int float abs round reverse sort unique min max sum join
items dictsort tojson default d safe escape e forceescape wordcount urlencode filesizeformat indent center truncate
map select reject batch(2) slice(2) batch(2,'x') slice(2,'x') join(',') join('-',attribute='name') default('D') default('D',true) d(default_value='x',boolean=true)
round(1) round(2,'ceil') round(1,'floor') round(-1) round(0) round(1,'bad') int(5) int(default=3) int(0,16) int(base=2) float(1.5) trim('a') trim(' !') trim(none)
replace('l','L') replace('l','L',1) replace('','-') replace(1,2) replace('o','') indent(2) indent(2,true) indent(first=true) indent(blank=true) indent('> ') indent(width=1,first=true,blank=true)
center(20) center(3) truncate(5) truncate(5,true) truncate(5,true,'') truncate(5,false,'..',0) truncate(length=8,end='!',leeway=0)
sort(reverse=true) sort(true) sort(case_sensitive=true) sort(attribute='age') sort(attribute='age,name') sort(attribute='at.c') sort(attribute=0)
unique(true) unique(attribute='age') unique(attribute='at.c') min(attribute='age') max(attribute='name') max(case_sensitive=true) sum(attribute='age') sum(start=10) sum('age',5)
map('upper') map('length') map(attribute='name') map(attribute='missing') map(attribute='missing',default='none') map(attribute='at.c') map('string') map('int',5) map('replace','a','b') map('default','x') map('nope') map(attribute='name',foo=1) map() map('join','-') map('tojson') map('first')
select('odd') select('string') select('none') select('defined') select('in',[1,2]) select('eq',1) select('==',1) select('nope') select() reject('odd') reject('none') reject('string')
selectattr('ok') selectattr('age','gt',26) selectattr('age','equalto',25) selectattr('name','in',['Bob']) selectattr('at.c','eq','x') selectattr('ok','defined') rejectattr('ok') rejectattr('ok','defined') rejectattr('age','lt',30) selectattr() selectattr('0')
groupby('age') groupby('at.c') groupby('missing') groupby('ok',default=false) groupby('name') groupby('age',case_sensitive=true)
dictsort(true) dictsort(false,'value') dictsort(reverse=true) dictsort(by='value') dictsort(by='x')
tojson(indent=2) tojson(indent=0) tojson(4) tojson(ensure_ascii=true) tojson(separators=(',',':')) tojson(sort_keys=true) tojson(indent=2,sort_keys=true) tojson(indent='--') tojson(indent=none) tojson(indent=1,separators=(',',':')) tojson(separators=[';','='])
attr('upper') attr('x') attr('b') filesizeformat(true) format(1) format('a','b') first(1) upper(1) length(1) nonsense bool
"""

TESTS = """defined undefined none boolean true false integer float number string mapping sequence iterable callable lower upper odd even
escaped filter test eq(1) ne(1) gt(1) ge(1) lt(1) le(1) equalto(1) greaterthan(1) lessthan(1) divisibleby(2) divisibleby(0) sameas(none) sameas(true) in([1,7]) in('abc') defined(1)
"""

METHODS = """
upper() lower() title() capitalize() casefold() swapcase() strip() lstrip() rstrip() strip('Hd! ') lstrip('H') rstrip('\\n') strip(none) strip('')
split() split(',') split(' ') split(',',1) split(none,1) split(sep='l') split(sep=' ',maxsplit=1) split('') split(maxsplit=1) rsplit() rsplit(',',1) rsplit(none,1) rsplit('l') split('xyz') split(1)
splitlines() splitlines(true) partition(',') rpartition('l') partition('') startswith('H') endswith('d') startswith('') startswith(('x','H')) endswith(()) startswith('e',1) startswith('H',0,1) endswith('o',0,5) startswith(1)
find('l') find('zz') rfind('l') find('l',4) find('l',0,2) find('') find('',99) rfind('') index('l') index('zz') rindex('o') count('l') count('') count('l',3) count('ll') count('',50)
replace('l','L') replace('l','L',1) replace('','-') replace('','-',2) replace('l','L',-1) replace('l') replace(1,2) removeprefix('He') removesuffix('ld') removeprefix('zz')
ljust(15) rjust(15) center(15) center(16) ljust(15,'*') rjust(15,'ab') zfill(15) zfill(3) ljust(2) expandtabs() expandtabs(4) expandtabs(0)
isalnum() isalpha() isascii() isdecimal() isdigit() isidentifier() islower() isnumeric() isprintable() isspace() istitle() isupper()
join(['a','b']) join('abc') join([]) join([1]) join(d) format() format(1) upper(1) nosuch() encode
"""

FORMATS = [
    ("%s", "s n f nil l t d u"), ("%5s|", "s n u"), ("%-5s|", "n u"), ("%.2s|", "s u"), ("%d", "n neg f t s"), ("%05d", "n neg"),
    ("%+d", "n neg"), ("% d", "n neg"), ("%x %X %o", "(255,255,8)"), ("%#x %#o", "(255,8)"), ("%f", "f n s"), ("%.2f", "f n"),
    ("%8.3f|", "f"), ("%-8.3f|", "f"), ("%08.3f|", "f neg"), ("%e", "f n"), ("%g", "f n 1e20 1e-7"), ("%.3g", "1234567"), ("%c", "65 's'"),
    ("%r", "s q n l"), ("%%", "() n"), ("%s %s", "(1,2) (1,) (1,2,3) n"), ("%(a)s", "d {'a':1} n"), ("%(a)s %(b)s", "d ed"), ("%*d", "(5,42) (-5,42)"),
    ("%.*f", "(1,2.55)"), ("%", "n"), ("%z", "n"), ("no", "n l d () (1,)"), ("%i", "n"), ("%5%|", "()"), ("%a", "q"), ("%s", "undefined_thing"), ("%d", "undefined_thing"),
]

BRACES = """
'{}'.format(1)|'{} {}'.format(1, 2)|'{0} {1} {0}'.format('a', 'b')|'{a} {b}'.format(a=1, b='x')|'{}'.format()|'{x}'.format()|'{{}}'.format()|'{'.format()|'}'.format()
'{:5}|'.format('a')|'{:>5}|'.format('a')|'{:^5}|'.format('a')|'{:*<5}|'.format('a')|'{:5}|'.format(1)|'{:<5}|'.format(1)|'{:05}'.format(-3)|'{:+}'.format(3)|'{: }'.format(3)
'{:x} {:X} {:o} {:b}'.format(255, 255, 8, 5)|'{:#x} {:#b}'.format(255, 5)|'{:,}'.format(1234567)|'{:_}'.format(1234567)|'{:,.2f}'.format(1234567.891)|'{:.2f}'.format(2.675)|'{:e}'.format(12345.678)
'{:g}'.format(0.0001)|'{:g}'.format(1e20)|'{:%}'.format(0.25)|'{:.1%}'.format(0.256)|'{:8.3f}|'.format(3.14159)|'{:<8.3f}|'.format(3.14159)|'{:.3}'.format('abcdef')|'{:.3}'.format(3.14159)|'{:.3}'.format(1234.5)
'{!r}'.format('x')|'{!s}'.format('x')|'{0[a]}'.format(d)|'{0[0]}'.format(l)|'{0.b}'.format(d)|'{p.real}'.format(p=3)|'{0.__class__}'.format(1)|'{} {0}'.format(1)|'{0} {}'.format(1)|'{:d}'.format('a')|'{:s}'.format(1)
'{:d}'.format(2.5)|'{:f}'.format(1)|'{}'.format(none)|'{:>5}'.format(none)|'{}'.format(l)|'{}{}'.format(*l[:2])|'{a}'.format(**{'a': 9})|'{:}'.format(2.0)|'{:10}|'.format(2.0)|'{:10.1f}|'.format(2.0)|'{a}'.format_map({'a': 1})
'{:é^7}'.format('x')|'{:c}'.format(65)|'{:n}'.format(5)|'{:G}'.format(1e-10)|'{:E}'.format(5.0)|'{:F}'.format(5.0)|'{:z}'.format(5)|'{:=+6}'.format(5)|'{:.0f}'.format(0.5)|'{:.0f}'.format(1.5)|'{:.0f}'.format(2.5)
"""

TEMPLATES = [
    "", "\n", "\n\n", "a\n", "a\r\nb\rc\n", " {% if true %} x {% endif %} \n y", "{% if true %}\nx\n{% endif %}\ny", "  {%- if true -%}  x  {%- endif -%}  y",
    "a  {%+ if true %}x{% endif %}", "a\n  {%+ if true %}x{% endif %}", "a\n  {% if true +%}\nx{% endif %}", "a\n  {{ 1 }}\n  b", "a\n  {{- 1 -}}\n  b", "{{ 1 }}\n{{ 2 }}\n",
    "a {# c #} b", "a\n  {# c #}\n  b", "a {#- c -#} b", "a {# c +#}\n b", "{# unclosed", "{#-#}x", "{#+ x #}y", "{{ 'unclosed", "{{ 1", "{% if x", "{{ }}", "{% %}", "{{ 1 }", "{{ 1 %}", "}} %} #}",
    "{% raw %}{{ x }}{% y %}{% endraw %}", "a\n  {% raw %}\n  b\n  {% endraw %}\n  c", "{%- raw -%}  x  {%- endraw -%}  y", "{% raw %} x", "{% raw %}{% endraw +%}\nx", "{%raw%}a{%endraw%}", "{% raw -%}  a{% endraw -%}  b",
    "{% set x = 1 %}{{ x }}", "{% set x, y = 1, 2 %}{{ x }}{{ y }}", "{% set (x, y) = (1, 2) %}{{ x }}{{ y }}", "{% set x = 1, 2 %}{{ x }}", "{% set x %}a{{ 1 }}b{% endset %}{{ x|upper }}", "{% set x | upper | trim %} ab {% endset %}[{{ x }}]",
    "{% set x, y = 1 %}", "{% set x, y = [1] %}", "{% set x, y = 'ab' %}{{ y ~ x }}", "{% set 1 = 2 %}", "{% set none = 2 %}", "{% set a.b = 2 %}", "{% set s.b = 2 %}", "{% set ns = namespace() %}{% set ns.a = 1 %}{% set ns.a = ns.a + 1 %}{{ ns.a }}", "{% set x = x|default(3) %}{{ x }}",
    "{% set x = 1 %}{% for i in [1,2] %}{{ x }}{% set x = i * 10 %}{{ x }}{% endfor %}{{ x }}", "{% if true %}{% set x = 5 %}{% endif %}{{ x }}", "{% if false %}{% set n = 5 %}{% endif %}{{ n }}", "{% for i in [1] %}{% set y = 1 %}{% endfor %}{{ y }}|",
    "{% for i in l %}{{ i }},{% endfor %}", "{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }};{% endfor %}",
    "{% for i in l %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }};{% endfor %}", "{% for i in l %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for i in [1,1,2,2,1] %}{{ loop.changed(i) }}{% endfor %}", "{% for i in l %}{{ loop }}{% endfor %}", "{% for i in l %}{{ loop.previtem is defined }}{{ loop.nextitem is undefined }}{% endfor %}",
    "{% for i in el %}x{% else %}empty{% endfor %}", "{% for i in l %}x{% else %}empty{% endfor %}", "{% for i in l %}{% break %}{% else %}else{% endfor %}", "{% for i in l %}{% continue %}{% else %}else{% endfor %}", "{% for i in l %}{% if i == 1 %}{% break %}{% endif %}{{ i }}{% endfor %}", "{% for i in l %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %}", "{% break %}",
    "{% for i in l if i > 1 %}{{ i }}:{{ loop.index }}/{{ loop.length }} {% endfor %}", "{% for i in l if i > 9 %}x{% else %}none{% endfor %}", "{% for a, b in d.items() %}{{ a }}={{ b }};{% endfor %}", "{% for a, b in d|items %}{{ a }}={{ b }};{% endfor %}", "{% for (a, b), c in [((1,2),3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for a, b in [[1]] %}{% endfor %}", "{% for a, in [[1]] %}{{ a }}{% endfor %}",
    "{% for k in d %}{{ k }}{% endfor %}", "{% for c in u %}[{{ c }}]{% endfor %}", "{% for i in undefined_thing %}x{% else %}e{% endfor %}", "{% for i in none %}{% endfor %}", "{% for i in 5 %}{% endfor %}", "{% for i in range(3) %}{{ i }}{% endfor %}", "{% for i in 1, 2, 3 %}{{ i }}{% endfor %}", "{% for i in [] + l %}{{ i }}{% endfor %}", "{% for i in l recursive %}{{ i }}{% endfor %}",
    "{% for x in [[1,[2,[3]]]] recursive %}{% if x is number %}{{ x }}@{{ loop.depth }}{% else %}({{ loop(x) }}){% endif %}{% endfor %}", "{% for i in l %}{{ loop([1]) }}{% endfor %}", "{% for i in l %}{% for j in l %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}", "{% for i in nested %}{% set outer = loop %}{% for j in i %}{{ outer.index }}{{ j }} {% endfor %}{% endfor %}", "{% for loop in l %}{% endfor %}",
    "{% for i in l %}{{ i }}{% if not loop.last %}, {% endif %}{% endfor %}", "{% for m in msgs %}{{ m.role }}:{{ m['content']|trim }}{{ m.tool_calls is defined }}{% endfor %}", "{% for i in l|map('string') %}{{ i }}{% endfor %}", "{% set g = l|map('string') %}{{ g|list }}{{ g|list }}", "{% set g = l|map('string') %}{{ g|first }}{{ g|list }}", "{% set g = l|map('string') %}{% for i in g %}{{ i }}{% break %}{% endfor %}{{ g|list }}",
    "{% if s %}a{% elif n %}b{% else %}c{% endif %}", "{% if e %}a{% elif n %}b{% else %}c{% endif %}", "{% if e %}a{% elif z %}b{% else %}c{% endif %}", "{% if e %}a{% endif %}", "{% if %}{% endif %}", "{% if true %}", "{% if true %}{% endfor %}", "{% endif %}", "{% else %}", "{% if true: %}x{% endif %}", "{% if 1, %}x{% endif %}", "{% if true %}x{% else %}y{% else %}z{% endif %}", "{% unknown %}", "{% do x %}", "{% if false %}{{ s|nonsense }}{% endif %}ok", "{% if true %}{{ s|nonsense }}{% endif %}ok", "{% if false %}{% if s is nonsense %}{% endif %}{% endif %}ok",
    "{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }}|{{ m(1, 3) }}|{{ m(b=5, a=4) }}|{{ m() }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(c=2) }}", "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}", "{% macro m(a) %}{{ varargs }}{% endmacro %}{{ m(1, 2, 3) }}", "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(7) }}", "{% macro m(a, b) %}{{ b is defined }}{% endmacro %}{{ m(7) }}", "{% macro m(a=1, b) %}{% endmacro %}", "{% macro m(a, a) %}{% endmacro %}",
    "{% macro m() %}{{ x }}{% endmacro %}{% set x = 1 %}{{ m() }}{% set x = 2 %}{{ m() }}", "{% macro m() %}{% set x = 9 %}{{ x }}{% endmacro %}{% set x = 1 %}{{ m() }}{{ x }}", "{% for i in l %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}", "{% macro fact(n) %}{{ 1 if n <= 1 else n * fact(n - 1)|int }}{% endmacro %}{{ fact(6) }}", "{% macro m() %}x{% endmacro %}{{ m }}", "{% macro m() %}x{% endmacro %}{{ m.name }}{{ m is callable }}", "{% macro m() %} x {% endmacro %}{{ m()|trim }}{{ m() ~ m() }}{{ m()|length }}", "{{ m() }}{% macro m() %}x{% endmacro %}", "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}",
    "{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}body{% endcall %}", "{% macro m() %}[{{ caller(1, 2) }}]{% endmacro %}{% call(a, b) m() %}{{ a }}{{ b }}{% endcall %}", "{% macro m() %}x{% endmacro %}{% call m() %}body{% endcall %}", "{% macro m() %}{{ caller is defined }}{{ caller }}{% endmacro %}{{ m() }}", "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}", "{% call 5 %}{% endcall %}", "{% macro m(a) %}{{ a }}{{ caller() }}{% endmacro %}{% for i in l %}{% call m(i) %}<{{ i }}{{ loop.index }}>{% endcall %}{% endfor %}", "{% macro m(caller=1) %}{{ caller }}{% endmacro %}{{ m() }}{{ m(2) }}{{ m(caller=3) }}", "{% macro m() %}{{ caller(x=5) }}{% endmacro %}{% call(x=1) m() %}{{ x }}{% endcall %}",
    "{% filter upper %}a{{ s }}{% endfilter %}", "{% filter replace('a', 'b') | upper %}banana{% endfilter %}", "{% filter trim %}  {% set q9 = 1 %}{{ q9 }} {% endfilter %}{{ q9 }}", "{% filter nonsense %}{% endfilter %}", "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with a = 1 %}{% with b = a %}{{ b }}{% endwith %}{% endwith %}", "{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with %}{% set a = 3 %}{{ a }}{% endwith %}{{ a }}", "{% print 1, 'a' %}", "{% print %}",
    "{% generation %}x{{ s }}{% endgeneration %}", "{% generation %}{% set gx = 1 %}{{ gx }}{% endgeneration %}{{ gx }}", "{% for i in l %}{% generation %}{{ i }}{{ loop.index }}{% endgeneration %}{% endfor %}", "{% for i in l %}{% generation %}{% break %}{% endgeneration %}{% endfor %}", "{% for i in l %}{% set bx %}{{ i }}{% break %}{% endset %}{% endfor %}{{ bx }}", "{% for i in l %}a{% filter upper %}b{% continue %}{% endfilter %}{% endfor %}",
    "{{ raise_exception('no') }}", "{{ strftime_now('%Y-%m-%d %H:%M:%S') }}", "{{ strftime_now('%d %b %Y|%A %a|%B|%j|%U|%W|%V|%G|%u|%w|%y|%I %p|%c|%x|%X|%D|%F|%T|%R|%%|%e|%f|%-d|%-m|%Z|%z|%n|%t|%C|%h|%r|%l|%k') }}", "{{ cycler('a', 'b').next() }}", "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.next() }}", "{% set j = joiner('|') %}{% for i in l %}{{ j() }}{{ i }}{% endfor %}", "{{ cycler() }}", "{{ joiner()() }}x",
    "{{ 'a\\nb\\t\\x41\\u00e9\\U0001F600\\101\\'\\\"\\\\ \\q \\\nz' }}", "{{ '\\xZ' }}", "{{ '\\u12' }}", "{{ '\\é' }}", "{{ \"a'b\" }}{{ 'a\"b' }}", "{{ 'a' 'b' \"c\" }}", "{{ 1_000 }}{{ 0x1F }}{{ 0b101 }}{{ 0o17 }}{{ 1_0.5_0 }}{{ 1e-2 }}{{ 0 }}{{ 00 }}", "{{ 01 }}", "{{ 1.e5 }}", "{{ .5 }}", "{{ 1__0 }}", "{{ a.b.c }}", "{{ s.upper().lower() }}", "{{ (s).upper() }}", "{{ 'a'.upper() }}", "{{ 'a b'.split()[0] }}", "{{ [1,2,3][0] }}", "{{ {'a': 1}.a }}", "{{ 5.0.real }}", "{{ l.0 }}{{ nested.0.0 }}",
    "{{ {'a': 1, 'b': 2,} }}{{ [1, 2,] }}{{ (1, 2,) }}", "{{ [,] }}", "{{ {'a'} }}", "{{ (1 }}", "{{ 1) }}", "{{ [1) }}", "{{ 1 2 }}", "{{ 1 + }}", "{{ * 2 }}", "{{ a b }}", "{{ ? }}", "{{ $ }}", "{{ a ! b }}", "{{ a = b }}", "{{ not }}", "{{ 1 is }}", "{{ 1 is not }}", "{{ 1 is not none }}", "{{ s is string and n is number }}", "{{ n is divisibleby 7 }}", "{{ n is divisibleby(7) }}", "{{ n is not divisibleby 2 }}", "{{ 'a' is in ['a'] }}", "{{ n is eq 7 or false }}", "{{ n is eq 7 if true else 0 }}", "{{ x is defined is defined }}", "{{ s is nonsense }}", "{{ -1 is odd }}", "{{ not none is none }}", "{{ n is odd | string }}", "{{ -5 | abs }}", "{{ 2 ** 3 | string }}", "{{ 'a' ~ 'b' | upper }}", "{{ ('a' ~ 'b') | upper }}", "{{ 1 + 2 | string | length }}", "{{ s | upper | lower }}", "{{ s|replace('o', '0')|length }}",
    "{{ f(*l) }}", "{{ [*l] }}", "{{ dict(**d) }}", "{{ dict(a=1, a=2) }}", "{{ dict(a=1, **{'a': 2}) }}", "{{ range(*[1, 4])|list }}", "{{ 'x'.join(*[['a','b']]) }}", "{{ dict(a=1, 2) }}", "{{ range(1,) | list }}", "{{ range(,) }}", "{{ 'a' if true }}{{ 'b' if false }}", "{{ 'a' if false else 'b' if false else 'c' }}", "{{ ('a' if n > 5 else 'b') ~ 'x' }}", "{{ true and 'x' }}{{ false or 'y' }}{{ none or 0 }}{{ '' and 1 }}", "{{ true if not false and true or false else 3 }}", "{{ 1 == 1 and 2 == 2 }}", "{{ 'a' in s and 'H' in s }}", "{{ not 'a' in s }}", "{{ 'a' not in s }}", "{{ 1 not in [1] == true }}",
    "{{ ('<b>'|safe) + '<i>' }}", "{{ '<i>' + ('<b>'|safe) }}", "{{ ('<b>'|safe) ~ '<i>' }}", "{{ html|e }}", "{{ html|e|e }}", "{{ html|forceescape|forceescape }}", "{{ html|safe|upper }}", "{{ (html|safe).upper() + '<' }}", "{{ ('<b>%s</b>'|safe) % '<x>' }}", "{{ ('<b>%s</b>'|safe)|format('<x>') }}", "{{ (html|safe)|replace('a', '<') }}", "{{ (html|safe).replace('a', '<') }}", "{{ ['<'|safe, '<'] }}", "{{ ['<'|safe, '<']|join('>') }}", "{{ ('>'|safe).join(['<', '&'|safe]) }}", "{{ ('a b'|safe).split()[0] + '<' }}", "{{ ('ab'|safe)[0] + '<' }}", "{{ ('a'|safe) * 2 + '<' }}", "{{ ('a'|safe) is escaped }}{{ 'a' is escaped }}", "{{ ('a'|safe) == 'a' }}", "{{ d|tojson|safe + '<' }}",
    "{{ people|map(attribute='name')|join(', ') }}", "{{ people|selectattr('ok', 'defined')|map(attribute='name')|list }}", "{% for g in people|groupby('age') %}{{ g.grouper }}:{{ g.list|length }};{% endfor %}", "{% for age, who in people|groupby('age') %}{{ age }}{{ who|map(attribute='name')|join }};{% endfor %}", "{{ people|sum(attribute='age') }}", "{{ (people|first).name }}", "{{ people[0].name }}", "{{ people|map(attribute='at')|map(attribute='c')|unique|list }}",
    "{{ d|tojson }}", "{{ u|tojson }}", "{{ ('\\x00\\x1f\\x7f\\u2028</script>' ~ q)|tojson }}", "{{ {1: 2, 'a': (1, 2), none: none, true: 2.0, 1.5: 1}|tojson }}", "{{ {(1, 2): 3}|tojson }}", "{{ undefined_thing|tojson }}", "{{ (1e308 * 10)|tojson }}", "{{ range(3)|tojson }}", "{{ d.items()|tojson }}", "{{ [d, l, {}, []]|tojson(indent=2) }}", "{{ 'é😀'|tojson(ensure_ascii=true) }}", "{{ {'b': 1, 'a': {'d': 1, 'c': 2}}|tojson(indent=4, sort_keys=true) }}", "{{ {1: 1, 'a': 1}|tojson(sort_keys=true) }}", "{{ 1.0|tojson }}{{ 1e20|tojson }}{{ true|tojson }}{{ none|tojson }}",
    "{% set ns = namespace(found=false) %}{% for m in msgs %}{% if m.role == 'assistant' %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.found }}", "{% set ns = namespace(l=[]) %}{% for i in l %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.l }}", "{{ namespace(a=1, b='x') }}", "{% set ns = namespace() %}{{ ns.x is defined }}{{ ns.x }}", "{% set ns = namespace() %}{% set ns.self = 1 %}{{ ns.self }}{{ ns['self'] }}", "{{ msgs[-1].content }}{{ msgs[::-1][0].role }}", "{% for m in msgs|reverse %}{{ m.role }}{% endfor %}", "{{ l|sort|last }}{{ l|sort(reverse=true)|first }}", "{{ 'abc'|reverse }}{{ l|reverse|list }}", "{{ (l|reverse)|length }}",
    "{% set messages = msgs %}{% if messages[0]['role'] == 'system' %}a{% else %}b{% endif %}", "{% if if in in %}a{% endif %}", "{% set if = 1 %}{{ if }}", "{% set for = 1 %}{{ for + 1 }}", "{{ is }}", "{{ in }}", "{{ and }}", "{{ else }}", "{{ True }}{{ False }}{{ None }}{{ TRUE }}", "{% include 'x' %}", "{% extends 'x' %}", "{% import 'x' as y %}",
    "{{- '' -}}\n\n x", "x{{- ' y ' -}}  z", "a\n\n{%- if true -%}\n\nb\n\n{%- endif -%}\n\nc", "\t {% if true %}\t x{% endif %}", "x\u00a0{% if true %}y{% endif %}", "\n \u00a0{% if true %}y{% endif %}", "a\n   {% set x = 1 %}   \nb", "{% if true %}\r\nx\r\n{% endif %}\r\ny", "{{ 'a\r\nb' }}", "{{ '\\r' }}|", "{%if true%}{{1}}{%endif%}", "{% if true%}a{%endif %}", "{{1}}{{2}}", "{{{'a':1}.a}}", "{{{}}}", "{{ {'a': {'b': {}}} }}", "{{ '}}' }}", "{{ '%}' }}{% if '%}' %}x{% endif %}", "{% set x = '{{ y }}' %}{{ x }}", "{{ \"#}\" }}", "{ { x } }", "{", "{{ '{' }}", "{%", "{{", "a{", "{a", "%}{{ 1 }}",
]


def split_expressions(text):
    """The lines cut at bars that separate expressions: a bar behind which a filter name stands belongs to it."""
    filters = {"list", "length", "first", "last", "join"}
    for line in text.strip().split("\n"):
        current = ""
        for part in line.split("|"):
            if current and part.split("(")[0] in filters:
                current += "|" + part
                continue
            if current:
                yield current
            current = part
        yield current


def cases():
    for expression in split_expressions(EXPRESSIONS):
        yield "{{ " + expression + " }}"
    for expression in BRACES.strip().replace("\n", "|").split("|'"):
        yield "{{ " + (expression if expression.startswith("'") else "'" + expression) + " }}"
    names = [n for n in VARS if n not in ("items_key", "msgs")] + ["undefined_thing", "d.items()", "range(4)"]
    for name, spec in itertools.product(names, FILTERS.split()):
        yield "{{ (" + name + ")|" + spec + " }}"
        if spec.split("(")[0] in {"map", "select", "reject", "selectattr", "rejectattr", "unique", "batch", "slice", "items", "reverse"}:
            yield "{{ (" + name + ")|" + spec + "|list }}"
    for name, spec in itertools.product(names, TESTS.split()):
        yield "{{ (" + name + ") is " + spec + " }}"
    for name, method in itertools.product(["s", "e", "u", "sp", "q", "lines", "title", "csv", "num", "html", "n", "l"], METHODS.split()):
        yield "{{ (" + name + ")." + method + " }}"
    for start, stop, step in itertools.product(["", "0", "1", "-1", "3", "-3", "99", "-99"], ["", "0", "2", "-1", "99", "-99"], ["", "1", "2", "-1", "-2"]):
        for name in ("l", "u", "(1, 2, 3, 4)", "range(5)"):
            yield "{{ " + name + "[" + start + ":" + stop + ":" + step + "] }}"
    for op, (a, b) in itertools.product(["+", "-", "*", "/", "//", "%", "**", "==", "<", ">=", "in", "~", "and", "or"], itertools.product(
            ["7", "-7", "2.5", "-0.0", "true", "'ab'", "[1]", "(1,)", "none", "{}", "undefined_thing"], repeat=2)):
        yield "{{ " + a + " " + op + " " + b + " }}"
    for format_text, values in FORMATS:
        for value in values.split():
            yield "{{ '" + format_text + "' % " + value + " }}"
            yield "{{ '" + format_text + "'|format(" + value + ") }}"
    for number in ("0.1", "1/3", "1e15", "1e16", "123456789.123456789", "1e-4", "1e-5", "2.5", "3.5", "-2.5", "0.15", "2.675", "1e22", "99999.99999", "1e300", "5e-324", "0.30000000000000004"):
        yield "{{ " + number + " }}"
        for precision in (-2, -1, 0, 1, 2, 5, 20):
            for method in ("common", "ceil", "floor"):
                yield "{{ (" + number + ")|round(" + str(precision) + ", '" + method + "') }}"
    for text in ("'42'", "' 42 '", "'-7'", "'+7'", "'4_2'", "'_4'", "'0x1f'", "'0b11'", "'0o7'", "'1e3'", "'nan'", "'inf'", "'-inf'", "'abc'", "''", "' '", "'1.5'", "'.5'", "'5.'", "'1e400'", "'1e-400'", "'٣'", "'1 2'", "'0x'", "'zz'", "'007'", "'1__0'"):
        for filter_text in ("int", "float", "int(9)", "int(9, 16)", "int(9, 0)", "int(9, 2)", "int(9, 36)", "float(9)"):
            yield "{{ " + text + "|" + filter_text + " }}"
    yield from TEMPLATES


def unicode_cases():
    """Every assigned code point through the case methods and character tests, in blocks."""
    points = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    methods = ["upper", "lower", "title", "capitalize", "casefold", "swapcase"]
    flags = ["isalnum", "isalpha", "isdecimal", "isdigit", "islower", "isnumeric", "isprintable", "isspace", "istitle", "isupper"]
    template = "{% for c in x %}" + "".join("{{ c." + m + "() }}," for m in methods) + "".join("{{ '1' if c." + m + "() else '0' }}" for m in flags) + "\n{% endfor %}"
    # The tables of utf8proc and of Python differ in the characters one of them does not know yet: assigned ones only.
    import unicodedata
    assigned = [c for c in points if unicodedata.category(c) != "Cn" and unicodedata.category(c) != "Co"]
    for begin in range(0, len(assigned), 2000):
        yield template, {"x": "".join(assigned[begin:begin + 2000])}
    for text in ("ΑΣ", "ΑΣΑ", "Σ", "ΑΣ.", "Α.Σ", "ΑΣ Β", "ﬁne ŉo ßa ǰ", "ǆ ǅ Ǆ", "İI ıi"):
        yield "{{ x.upper() }}|{{ x.lower() }}|{{ x.title() }}|{{ x.capitalize() }}|{{ x.swapcase() }}|{{ x|title }}|{{ x.istitle() }}", {"x": text}


ADDRESS = " at 0x"  # Python printed an object by its address: no text a prompt can mean


def python_answer(env, template, variables):
    try:
        text = env.from_string(template).render(**json.loads(json.dumps(variables)))
        text.encode("utf-8")
        return text
    except RecursionError:
        raise
    except Exception:
        return None


# Where tern differs on purpose: it refuses, and says why.
def may_refuse(template, text):
    unsupported = (
        ADDRESS in text or "<class" in text or "<bound method" in text or "<built-in" in text or "<function" in text
        or "encode" in template or "autoescape" in template or "self" in template
        or any(len(part) > 18 and part.lstrip("-").isdigit() for part in text.replace(",", " ").replace("_", " ").split())  # beyond 64 bits
        or ".isdisjoint" in template or text.endswith("j)")  # a complex number
    )
    return unsupported


def main():
    program = sys.argv[1]
    env = environment()
    work = [(t, VARS) for t in cases()] + list(unicode_cases())
    data = sys.argv[2] if len(sys.argv) > 2 else ""
    path = os.path.join(data, "templates", "cases.jsonl")
    third_party = 0
    if data and os.path.exists(path):
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                case = json.loads(line)
                work.append((case["template"], case["vars"]))
                third_party += 1
    requests = "".join(json.dumps({"template": t, "vars": v}) + "\n" for t, v in work)
    run = subprocess.run([program], input=requests.encode(), stdout=subprocess.PIPE, check=False)
    answers = [json.loads(line) for line in run.stdout.decode().splitlines()]
    if run.returncode != 0 or len(answers) != len(work):
        print(f"FAILED: {program} exited with {run.returncode} after {len(answers)} of {len(work)} answers")
        return 1
    same = refused = declared = 0
    failures = []
    for (template, variables), answer in zip(work, answers):
        expected = python_answer(env, template, variables)
        actual = answer.get("text")
        if expected == actual:
            same += 1
            refused += expected is None
        elif expected is not None and actual is None and may_refuse(template, expected):
            declared += 1
        else:
            failures.append((template, expected, answer))
    for template, expected, answer in failures[:int(os.environ.get("SHOW", "20"))]:
        print(f"DIFFERS: {template[:300]!r}\n  jinja2: {expected if expected is None else expected[:300]!r}\n  tern:   {str(answer)[:300]}")
    print(f"{len(work)} templates ({third_party} third-party): {same} equal ({refused} refused by both), "
          f"{declared} refused by tern alone as documented, {len(failures)} different")
    return 1 if failures or same < 5000 else 0


if __name__ == "__main__":
    sys.exit(main())
