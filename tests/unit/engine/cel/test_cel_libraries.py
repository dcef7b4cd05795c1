"""Functions that Kubernetes adds to CEL, and those of cel-go's extensions."""

from __future__ import annotations

from typing import Any

import pytest

from edgevirt.engine.cel import Environment, EvaluationError, types

pytestmark = pytest.mark.unit

ENVIRONMENT = Environment({"s": types.STRING, "d": types.DYN})


def value(text: str, **variables: Any) -> Any:
    return ENVIRONMENT.compile(text).evaluate({"s": "Hello World", "d": 1, **variables})


@pytest.mark.parametrize(
    "text",
    """
    s.find('[A-Z]o|W.') == 'Wo' && s.findAll('o') == ['o', 'o'] && s.findAll('l', 2) == ['l', 'l']
    s.matches('^Hel+o') && matches(s, 'World$') && !s.matches('^world')
    s.charAt(1) == 'e' && s.indexOf('o') == 4 && s.indexOf('o', 5) == 7 && s.lastIndexOf('o') == 7
    s.lowerAscii() == 'hello world' && s.upperAscii() == 'HELLO WORLD' && ' x '.trim() == 'x'
    s.replace('l', 'L') == 'HeLLo WorLd' && s.replace('l', 'L', 1) == 'HeLlo World'
    s.split(' ') == ['Hello', 'World']
    'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'ab'.split('') == ['a', 'b']
    s.substring(6) == 'World' && s.substring(0, 5) == 'Hello' && ['a', 'b'].join('-') == 'a-b'
    '%s has %d at %.2f, %x%%'.format(['x', 3, 1.25, 255]) == 'x has 3 at 1.25, ff%'
    '%s'.format([[1, 2]]) == '[1, 2]' && '%s'.format([{'a': true}]) == '{a: true}'
    '%s'.format([null]) == 'null' && '%s'.format([1.0]) == '1'
    strings.quote('a"b') == '"a\\\\"b"'
    [1, 2, 2].isSorted() && ![2, 1].isSorted() && ['a', 'b'].isSorted() && [].isSorted()
    [1, 2].sum() == 3 && [1.5, 1.0].sum() == 2.5 && [duration('1s')].sum() == duration('1s')
    [3, 1].min() == 1 && ['a', 'c'].max() == 'c' && [1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2
    [3, 1, 2].sort() == [1, 2, 3] && [1, 1, 2].distinct() == [1, 2] && [1, 2, 3].slice(1, 3) == [2, 3]
    [[1], [2]].flatten() == [1, 2] && [1, 2].reverse() == [2, 1] && lists.range(3) == [0, 1, 2]
    [1, 2].first().value() == 1 && [1, 2].last().orValue(0) == 2
    sets.contains([1, 2, 3], [2, 1]) && sets.equivalent([1, 1], [1]) && !sets.intersects([1], [2])
    isURL('https://h:80/p?q=1') && !isURL('x y') && url('https://u@h:80/p?q=1').getHost() == 'h:80'
    url('https://[::1]:80/a').getHostname() == '::1'
    url('https://h:80/p?q=1&q=2').getQuery() == {'q': ['1', '2']} && url('/a').getScheme() == ''
    url('https://h:80/p').getPort() == '80' && url('https://h/p').getEscapedPath() == '/p'
    quantity('1Gi').compareTo(quantity('1024Mi')) == 0 && quantity('1').isGreaterThan(quantity('999m'))
    quantity('1.5').add(quantity('500m')).asInteger() == 2 && quantity('2').sub(3).sign() == -1
    quantity('50').isInteger() && !quantity('50m').isInteger() && quantity('500m').asApproximateFloat() == 0.5
    quantity('1Ki') == quantity('1024') && isQuantity('1e3') && !isQuantity('1x')
    ip('10.0.0.1').family() == 4 && ip('::1').isLoopback() && ip('169.254.0.1').isLinkLocalUnicast()
    isIP('::1') && !isIP('::ffff:1.2.3.4') && !isIP('fe80::1%eth0') && ip.isCanonical('::1')
    ip('8.8.8.8').isGlobalUnicast() && ip('0.0.0.0').isUnspecified() && ip('224.0.0.1').isLinkLocalMulticast()
    cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').containsIP(ip('10.0.0.1'))
    cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.0.0.0/8').containsCIDR(cidr('0.0.0.0/0'))
    cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.1.2.3/8').prefixLength() == 8
    string(cidr('10.1.2.3/8').ip()) == '10.1.2.3' && isCIDR('::/0') && !isCIDR('10.0.0.0/33')
    semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-alpha').isLessThan(semver('1.0.0'))
    semver('1.2.3+x').compareTo(semver('1.2.3')) == 0 && semver('v1.2', true).patch() == 0
    isSemver('1.2.3-rc.1') && !isSemver('1.2') && semver('4.5.6').major() == 4
    !format.dns1123Label().validate('my-name').hasValue() && format.dns1123Label().validate('A').hasValue()
    format.named('uuid').hasValue() && !format.named('nope').hasValue()
    !format.qualifiedName().validate('example.com/a_b').hasValue() && format.date().validate('x').hasValue()
    !format.dns1123LabelPrefix().validate('my-').hasValue() && !format.labelValue().validate('').hasValue()
    type(quantity('1')) == kubernetes.Quantity && type(ip('::1')) == net.IP
    """.strip().splitlines(),
)
def test_the_functions_do_what_they_do_in_kubernetes(text: str) -> None:
    assert value(text.strip()) is True


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("quantity(s)", "quantities must match the regular expression"),
        ("ip(s)", "unable to parse IP"),
        ("cidr(s)", "network address parse error"),
        ("url(s)", "URL parse error during conversion from string"),
        ("semver(s)", "semver parse error"),
        ("s.matches(s + '(')", "error parsing regexp"),
        ("s.substring(3, 1)", "invalid substring range"),
        ("s.charAt(99)", "index out of range: 99"),
        ("'%d'.format(['x'])", "could not convert argument of type string for the clause %d"),
        ("quantity('1.5').asInteger()", "cannot convert value to integer"),
        ("timestamp(s)", 'parsing time "Hello World"'),
        ("duration(s)", 'time: invalid duration "Hello World"'),
    ],
)
def test_arguments_that_cannot_be_read_are_errors(text: str, problem: str) -> None:
    with pytest.raises(EvaluationError) as failure:
        value(text)
    assert problem in str(failure.value)
