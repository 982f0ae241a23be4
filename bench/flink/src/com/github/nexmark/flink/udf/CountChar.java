package com.github.nexmark.flink.udf;

import org.apache.flink.table.functions.ScalarFunction;

/**
 * count_char of Nexmark's q14: how often a character stands in a text. It has the name by which the
 * public benchmark registers its function, so that one text of the query runs on both engines.
 */
public class CountChar extends ScalarFunction {
    public Long eval(String text, String wanted) {
        if (text == null || wanted == null || wanted.isEmpty()) return 0L;
        char looked = wanted.charAt(0);
        return text.chars().filter(c -> c == looked).count();
    }
}
